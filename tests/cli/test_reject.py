"""Images of none of the classes, with digits left out: `xmap predict --reject` in every format, and `xmap eval --unknown`."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

import xmap
from tests.promises.test_old_stores import FROZEN
from tests.worlds.commands import call
from tests.worlds.inputs import write_photos
from xmap.stages.datasets.digits import write_digits
from xmap.store.errors import InputError

LEFT_OUT, PER_CLASS = ("0", "7"), 60
RUN = ("--model", "xmap-tiny", "--views", "1", "--batch-size", "32", "--workers", "0", "--shots", "8", "--seeds", "1", "--quiet")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with eight `digits`, two more in `strange`, and the `store` of a run on the eight."""
    pytest.importorskip("sklearn")
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("world")
    write_digits(folder / "all")
    for name in (str(digit) for digit in range(10)):
        (folder / ("strange" if name in LEFT_OUT else "digits") / name).mkdir(parents=True)
        for path in sorted((folder / "all" / name).iterdir())[:PER_CLASS]:
            path.rename(folder / ("strange" if name in LEFT_OUT else "digits") / name / path.name)
    done = call("run", "--data", folder / "digits", *RUN, "--methods", "xmadapter", "--store", folder / "store")
    assert done.exit_code == 0, done.output
    return folder


def test_digits_left_out_are_rejected_more_often_than_others_in_every_format(world: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_text("no picture")
    words = ("predict", world / "strange", tmp_path / "broken.png", "--store", world / "store", "--reject", "0.9")
    for name in ("a.csv", "a.jsonl", "a.parquet"):
        result = call(*words, "-o", tmp_path / name)
        assert result.exit_code == 0, result.stderr
        assert "validation kept apart; at least 90 % of such images are accepted (split conformal)" in result.stderr
    found = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text("utf-8").splitlines()]
    table = pq.read_table(tmp_path / "a.parquet").to_pylist()
    sheet = list(csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text("utf-8-sig"))))
    assert len(found) == len(table) == len(sheet) == 2 * PER_CLASS + 1
    limit = xmap.load(store=world / "store").rejection(0.9).threshold
    for line, row, cells in zip(found[:-1], table, sheet, strict=False):
        assert line["strangeness"] == row["strangeness"] == float(cells["strangeness"])
        assert line["class"] == row["class"] == cells["class"] == ("" if line["strangeness"] > limit else line["nearest"])
        assert line["nearest"] == row["nearest"] == cells["nearest"] == max(line["probabilities"], key=line["probabilities"].get)
    assert (table[-1]["strangeness"], sheet[-1]["nearest"], "nearest" in found[-1]) == (None, "", False)
    known = call("predict", world / "digits", "--store", world / "store", "--reject", "0.9", "--json")
    mine = [json.loads(line)["class"] for line in known.stdout.splitlines()]
    strange = [line["class"] for line in found[:-1]]
    assert mine.count("") / len(mine) < 0.2 < strange.count("") / len(strange)
    printed = call(*words, "--explain")
    assert "strangeness" in printed.stdout
    assert "none of these, nearest " in printed.stdout


def test_a_narrow_terminal_names_the_nearest_class_of_what_is_rejected(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmap.cli.tables.terminal_width", lambda: 80)
    words = ("predict", world / "strange", "--store", world / "store", "--reject", "0.9", "--quiet")
    nearest = [json.loads(line)["nearest"] for line in call(*words, "--json").stdout.splitlines()]
    header, _, *rows = [line for line in call(*words).stdout.splitlines() if line.strip()]
    assert max(map(len, rows)) <= 80
    place = header.index("nearest")
    assert [row[place:].split()[0] for row in rows] == nearest


def test_python_and_an_exported_folder_give_the_same(world: Path, tmp_path: Path) -> None:
    adapter = xmap.load(store=world / "store")
    images = sorted((world / "strange").glob("*/*.png"))
    found = adapter.predict(images, reject=0.9)
    strange, rejection = adapter.strangeness(adapter.encode(images)), adapter.rejection(0.9)
    rejected = rejection.rejects(torch.from_numpy(strange)).tolist()
    assert [one.strangeness for one in found] == strange.tolist()
    assert [one.class_name == "" for one in found] == [one.rejected for one in found] == rejected
    assert 0 <= strange.min() <= strange.max() <= 1
    assert adapter.predict(images[0])[0].strangeness is None
    assert call("export", tmp_path / "portable", "--store", world / "store").exit_code == 0
    assert str(xmap.load(str(tmp_path / "portable")).rejection(0.9)) == str(rejection)
    with pytest.raises(InputError, match=r"such as 0\.9\.$"):
        adapter.predict(images, reject=90)


def test_too_few_samples_reject_nothing_and_say_so(world: Path) -> None:
    result = call("predict", world / "strange", "--store", world / "store", "--reject", "0.999", "--json")
    assert all(json.loads(line)["class"] for line in result.stdout.splitlines())
    assert "to accept 99.9 % takes 999, so that nothing is rejected" in result.stderr


@pytest.mark.failure("old store")
def test_an_adapter_of_the_first_version_says_that_it_keeps_none(tmp_path: Path) -> None:
    shutil.copytree(FROZEN / "store", tmp_path / "store")
    adapter = next(path.name for path in (tmp_path / "store/adapter").iterdir() if "tip-adapter-f" in path.name)
    result = call("predict", write_photos(tmp_path / "photos"), "--store", tmp_path / "store", "--adapter", adapter, "--reject", "0.9")
    assert result.exit_code == 2
    assert "was trained before samples were kept apart for rejecting images; " in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_an_evaluation_measures_how_well_strangers_are_told(world: Path) -> None:
    words = ("eval", "--data", world / "digits", *RUN, "--methods", "xmadapter", "--store", world / "store", "--unknown", world / "strange")
    said = call(*words, "--json")
    assert said.exit_code == 0, said.stderr
    (row,) = json.loads(said.stdout)["unknown"]
    assert (row["method"], row["seed"], row["images"]) == ("xmadapter", 1, 2 * PER_CLASS)
    assert row["auroc"] > 60
    known = xmap.connect(world / "store").query("SELECT strangeness FROM predictions")["strangeness"].to_pylist()
    adapter = xmap.load(store=world / "store")
    strange = adapter.strangeness(adapter.encode(world / "strange"))
    pairs = [(one > other) + (one == other) / 2 for one in strange for other in known]
    assert row["auroc"] == pytest.approx(100 * sum(pairs) / len(pairs))
    limit = adapter.rejection(0.95).threshold
    assert row["rejected"] == pytest.approx(100 * sum(strange > limit) / len(strange))
    assert row["test_rejected"] == pytest.approx(100 * sum(one > limit for one in known) / len(known))
    printed = call(*words)
    assert "AUROC" in printed.stdout
    assert "accepted: of the unknown images" in printed.stdout
    absent = call(*words[:-1], world / "nowhere")
    assert (absent.exit_code, len(absent.stderr.strip().splitlines())) == (2, 1)
