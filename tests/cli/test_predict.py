"""`xmap predict` and `xmap export`: an adapter on new images, here and in a folder that knows no store."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from typer.testing import Result

import xmap
from tests.worlds.commands import call
from tests.worlds.inputs import write_layout, write_photos
from xmap.store.errors import ArtifactMissing, InputError

ROOT = Path(__file__).resolve().parents[2]
RUN = ("--model", "xmap-tiny", "--views", "1", "--batch-size", "4", "--workers", "0", "--shots", "2", "--seeds", "1", "--quiet")
METHODS = ("zero-shot", "tip-adapter", "xmadapter")


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photos` and the `store` of a run on them."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("world")
    photos = write_photos(folder / "photos", test=4)
    done = call("run", "--data", photos, *RUN, "--methods", ",".join(METHODS), "--store", folder / "store")
    assert done.exit_code == 0, done.output
    return folder


def evaluated(store: Path, method: str) -> dict[str, dict[str, Any]]:
    """What `eval` said of each test image."""
    with xmap.connect(store) as connection:
        rows = connection.query("select * from predictions").to_pylist()
    return {row["sample_id"]: row for row in rows if row["method"] == method}


def require_the_same(printed: str, world: Path, expected: dict[str, dict[str, Any]]) -> None:
    found = {Path(row["path"]).relative_to(world / "photos").as_posix(): row for row in map(json.loads, printed.splitlines())}
    assert found.keys() == expected.keys()
    for sample_id, row in expected.items():
        assert found[sample_id]["class"] == row["predicted_name"]
        assert found[sample_id]["probability"] == pytest.approx(row["probability"], abs=1e-5)
        assert found[sample_id]["probabilities"][row["class_name"]] == pytest.approx(row["true_probability"], abs=1e-5)


def test_an_exported_folder_alone_gives_the_probabilities_of_eval(world: Path, tmp_path: Path) -> None:
    result = call("export", tmp_path / "portable", "--store", world / "store", "--json")
    assert result.exit_code == 0, result.output
    store, hidden = world / "store", world / "away"
    expected = evaluated(store, "xmadapter")
    (tmp_path / "empty").mkdir()
    command = [sys.executable, "-c", "from xmap.cli.main import main; main()", "predict", str(world / "photos/test"), "--json", "--adapter"]
    bare = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "HOME": str(tmp_path / "empty")}
    store.rename(hidden)
    try:
        done = subprocess.run(
            [*command, str(tmp_path / "portable")], cwd=tmp_path / "empty", env=bare, capture_output=True, text=True, check=True
        )
    finally:
        hidden.rename(store)
    require_the_same(done.stdout, world, expected)


def test_a_method_without_an_index_of_its_own_is_exported_alike(world: Path, tmp_path: Path) -> None:
    method = "tip-adapter"
    assert call("export", tmp_path / "portable", "--method", method, "--store", world / "store").exit_code == 0
    result = call("predict", world / "photos/test", "--adapter", tmp_path / "portable", "--store", tmp_path / "none", "--json")
    assert result.exit_code == 0, result.output
    require_the_same(result.stdout, world, evaluated(world / "store", method))


def test_an_exported_folder_says_what_it_is_and_is_sound(world: Path, tmp_path: Path) -> None:
    target = tmp_path / "portable"
    assert call("export", target, "--store", world / "store").exit_code == 0
    readme = (target / "README.md").read_text("utf-8")
    assert all(f"{label}. `{name}`" in readme for label, name in enumerate(("ant", "bee", "cat")))
    facts = json.loads((target / "xmap-export.json").read_text("utf-8"))
    assert facts["classes"] == ["ant", "bee", "cat"]
    assert facts["method"] == "xmadapter"
    assert 0.0 <= facts["test_accuracy"] <= 100.0
    assert "3 artifacts read, no damage found" in call("verify", "--store", target).stdout
    again = call("export", target, "--store", world / "store")
    assert again.exit_code == 2
    assert "is not empty" in again.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["portable"], "nothing half-written is left"


def test_the_card_tells_of_corrections_and_of_no_test_that_was_not_made(world: Path, tmp_path: Path) -> None:
    (tmp_path / "fix.csv").write_text("sample_id,label\ntrain/ant/0.png,bee\n")
    store = ("--store", tmp_path / "store")
    done = call("run", "--data", world / "photos", *RUN, "--methods", "zero-shot", "--labels", tmp_path / "fix.csv", *store)
    assert done.exit_code == 0, done.output
    shutil.rmtree(tmp_path / "store" / "eval")
    assert call("export", tmp_path / "portable", *store).exit_code == 0
    facts = json.loads((tmp_path / "portable/xmap-export.json").read_text("utf-8"))
    assert facts["data"]["name"] == "photos"
    assert facts["data"]["support"] == 6
    assert facts["data"]["counts"] == {"train": 12, "val": 6, "test": 12}
    assert [Path(name).name for name in facts["data"]["corrections"]] == ["fix.csv"]
    assert any("corrects the labels of 1 image" in remark for remark in facts["data"]["remarks"])
    assert facts["validation"]["samples"] == facts["kept"]["samples"]
    assert facts.keys().isdisjoint({"test", "test_accuracy"})
    assert "test images" not in (tmp_path / "portable/README.md").read_text("utf-8")
    assert call("export", tmp_path / "again", "--store", tmp_path / "portable").exit_code == 0
    again = json.loads((tmp_path / "again/xmap-export.json").read_text("utf-8"))
    assert again["validation"] == facts["validation"]
    assert again["data"].keys() == {"name", "support", "views"}


@pytest.mark.failure("cut or missing file")
def test_whoever_received_a_damaged_folder_is_not_told_to_train(world: Path, tmp_path: Path) -> None:
    assert call("export", tmp_path / "whole", "--store", world / "store").exit_code == 0
    names = [path.relative_to(tmp_path / "whole") for path in sorted((tmp_path / "whole").glob("*/*/*"))]
    assert len(names) > 6
    for name in [*names, *{name.parent for name in names}]:
        target = tmp_path / "damaged"
        shutil.copytree(tmp_path / "whole", target)
        shutil.rmtree(target / name) if (target / name).is_dir() else (target / name).write_bytes(b"{")
        done = call("predict", world / "photos/test/bee/0.png", "--adapter", target, "--quiet")
        told = [done.stderr] if done.exit_code else call("verify", "--store", target).stdout.splitlines()
        assert any(f"ask for {target} again, or make it anew where its store is" in line for line in told), (name, told)
        assert not any("to build it again" in line or "xmap train" in line for line in told)
        shutil.rmtree(target)


def test_explain_gives_neighbours_and_both_affinities(world: Path) -> None:
    image = world / "photos/test/bee/0.png"
    (row,) = lines(call("predict", image, "--store", world / "store", "--explain", "--json"))
    assert row["class"] == "bee"
    assert sum(row["probabilities"].values()) == pytest.approx(1.0, abs=1e-5)
    assert len(row["neighbors"]) == 5
    affinities = [near["affinity"] for near in row["neighbors"]]
    assert affinities == sorted(affinities, reverse=True)
    with xmap.connect(world / "store") as connection:
        query = "select neighbors from affinity where method = 'xmadapter' and sample_id = 'test/bee/0.png'"
        (logged,) = connection.query(query).to_pylist()
    assert [near["sample_id"] for near in row["neighbors"]] == [near["sample_id"] for near in logged["neighbors"]]
    assert row["evidence"][0]["class"] == "bee"
    table = call("predict", image, "--store", world / "store", "--explain")
    assert "nearest cached image" in table.stdout
    assert "zero-shot" in table.stdout
    assert "text affinity" in table.stdout
    alone = call("predict", image, "--store", world / "store", "--explain", "--method", "zero-shot")
    assert alone.exit_code == 0
    assert "affinity" not in alone.stdout.partition("nearest cached image")[0]


def test_unreadable_images_are_reported_and_the_others_go_on(world: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    sound = world / "photos/test/cat/0.png"
    names = f"{tmp_path / 'text.png'}\n{sound}\n\n{tmp_path / 'absent.png'}\n"
    result = call("predict", "-", "--store", world / "store", "--json", stdin=names)
    assert [row.get("error") for row in map(json.loads, result.stdout.splitlines())] == ["not-an-image", None, "missing"]
    assert "2 of 3 images could not be read" in result.stderr
    none = call("predict", tmp_path / "text.png", "--store", world / "store")
    assert none.exit_code == 2
    assert "none of the 1 images could be read" in none.stderr


def test_parquet_holds_a_row_an_image(world: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.parquet"
    assert call("predict", world / "photos/test", "--store", world / "store", "-o", output, "--explain").exit_code == 0
    rows = pq.read_table(output).to_pylist()
    assert len(rows) == 12
    assert {entry["class"] for entry in rows[0]["probabilities"]} == {"ant", "bee", "cat"}
    assert len(rows[0]["neighbors"]) == 5


ANSWERS = ("path", "class", "probability", "second", "second_probability", "zero_shot")


def test_every_format_says_the_same_in_the_file_that_is_named(world: Path, tmp_path: Path) -> None:
    (tmp_path / "=broken.png").write_text("no picture")
    words = ("predict", world / "photos/test", tmp_path / "=broken.png", "--store", world / "store")
    for name in ("a.csv", "a.jsonl", "a.json", "a.parquet", "a.txt"):
        result = call(*words, "-o", tmp_path / name)
        assert result.exit_code == 0, result.stderr
        assert result.stdout == ""
    by_line = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text("utf-8").splitlines()]
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "a.jsonl").read_bytes()
    table = pq.read_table(tmp_path / "a.parquet").to_pylist()
    raw = (tmp_path / "a.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbfpath,class,probability,second,second_probability,zero_shot,known,set,error\r\n")
    sheet = list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"))))
    assert len(by_line) == len(table) == len(sheet) == 13
    for line, row, cells in zip(by_line, table, sheet, strict=True):
        assert cells["path"] == line["path"] == row["path"]
        if "error" in line:
            assert cells["error"].startswith(f"{line['error']}: ")
            assert row["second"] is None
            continue
        assert [cells[name] for name in ANSWERS] == [str(line[name]) for name in ANSWERS]
        assert cells["error"] == ""
        best = sorted(line["probabilities"].items(), key=lambda item: -item[1])
        assert [line["class"], line["second"]] == [name for name, _ in best[:2]] == [row["class"], row["second"]]
        assert line["second_probability"] == best[1][1] == pytest.approx(row["second_probability"])
    assert "probability %" in (tmp_path / "a.txt").read_text("utf-8")
    assert "0.png" in (tmp_path / "a.txt").read_text("utf-8")
    piped = call(*words, "--format", "csv", "--quiet").stdout
    assert piped.splitlines() == raw[3:].decode().splitlines(), "the mark is for files alone"


def test_batches_change_nothing(world: Path) -> None:
    found = [
        lines(call("predict", world / "photos/test", "--store", world / "store", "--json", "--quiet", "--batch-size", size))
        for size in (1, 5)
    ]
    for one, five in zip(*found, strict=True):
        assert one["probability"] == pytest.approx(five["probability"], abs=1e-5)


def test_three_lines_of_python_do_the_same(world: Path) -> None:
    adapter = xmap.load(store=world / "store")
    prediction = adapter.predict(world / "photos/test/ant/0.png")[0]
    assert prediction.top(1)[0][0] == "ant"
    assert prediction.probability == pytest.approx(dict(prediction.top(3))["ant"])
    assert xmap.load("photos-xmap-tiny-tip-adapter-2shot-seed1", store=world / "store").artifact.summary["method"] == "tip-adapter"
    with pytest.raises(InputError, match="no images are named"):
        adapter.predict([])
    with pytest.raises(ArtifactMissing):
        xmap.load(store=world / "nowhere")


def test_another_encoder_is_refused(world: Path, tmp_path: Path) -> None:
    tiny = ROOT / "xmap/stages/encoder/models/xmap-tiny"
    other = tmp_path / "other"
    other.mkdir()
    config = json.loads((tiny / "open_clip_config.json").read_text())
    config["preprocess_cfg"]["interpolation"] = "bilinear"
    (other / "open_clip_config.json").write_text(json.dumps(config))
    (other / "open_clip_model.safetensors").symlink_to(tiny / "open_clip_model.safetensors")
    result = call("predict", world / "photos/test", "--store", world / "store", "--model", f"local-dir:{other}")
    assert result.exit_code == 2
    assert "preprocess.interpolation" in result.stderr


def test_imported_features_do_not_name_their_encoder(tmp_path: Path) -> None:
    folder = write_layout(tmp_path / "layout")
    assert call("import", "tip-adapter", folder, "--quiet").exit_code == 0
    run = call("run", "--features", "layout", "--shots", "2", "--seeds", "1", "--methods", "tip-adapter", "--quiet")
    assert run.exit_code == 0, run.output
    photos = write_photos(tmp_path / "photos")
    unnamed = call("predict", photos)
    assert unnamed.exit_code == 2
    assert "name it with --model, or import the vectors" in unnamed.stderr
    wrong = call("predict", photos, "--model", "xmap-tiny")
    assert wrong.exit_code == 2
    assert "width 128, the adapter takes 8" in wrong.stderr
    assert call("export", tmp_path / "portable").exit_code == 0
    assert "not named: the features came from elsewhere" in (tmp_path / "portable/README.md").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("absent-folder/x.png",), "there is no image or folder absent-folder/x.png"),
        (("-", "absent.png"), "there is no image or folder absent.png"),
        ((str(ROOT / "docs/images"),), "no adapter artifact"),
        ((".", "--format", "xml"), "unknown format 'xml'"),
        ((".", "--format", "parquet"), "name the file to write with -o"),
        ((".", "-o", "labels.xlsx"), "name a .csv file"),
        ((".", "-o", "labels.csv", "--explain"), "a CSV has no place for the evidence; give --json"),
        ((".", "--format", "csv", "--explain"), "a CSV has no place for the evidence"),
        ((".", "-o", "labels"), "its suffix names no format"),
        ((".", "-o", "labels.html"), "its suffix names no format"),
        ((".", "-o", "labels.csv", "--json"), "is a name for csv"),
        ((".", "-o", "labels.parquet", "--format", "csv"), "is a name for parquet"),
    ],
)
def test_wrong_use_is_one_sentence(words: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = call("predict", *words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
