"""`xmap predict --sets`: the same sets in every format, from a store, from an exported folder and from Python, and what is said of them."""

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
from xmap.store.errors import InputError

RUN = ("--model", "xmap-tiny", "--views", "1", "--batch-size", "8", "--workers", "0", "--shots", "2", "--seeds", "1", "--quiet")
SAID = "sets of 80 %: 9 samples, validation kept apart; at least 80 % of the sets of such images have their class (split conformal)"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photos` and the `store` of a run on them, whose adapters keep nine samples apart."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("world")
    done = call("run", "--data", write_photos(folder / "photos", val=6), *RUN, "--methods", "tip-adapter", "--store", folder / "store")
    assert done.exit_code == 0, done.output
    return folder


def test_every_format_and_an_exported_folder_give_the_same_sets(world: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_text("no picture")
    words = ("predict", world / "photos/test", tmp_path / "broken.png", "--store", world / "store", "--sets", "0.8")
    for name in ("a.csv", "a.jsonl", "a.parquet"):
        result = call(*words, "-o", tmp_path / name)
        assert result.exit_code == 0, result.stderr
        assert result.stderr.splitlines().count(SAID) == 1
    found = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text("utf-8").splitlines()]
    table = pq.read_table(tmp_path / "a.parquet").to_pylist()
    sheet = list(csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text("utf-8-sig"))))
    assert len(found) == len(table) == len(sheet) == 10
    for line, row, cells in zip(found[:-1], table, sheet, strict=False):
        assert line["set"] == row["set"] == json.loads(cells["set"])
        assert line["set_size"] == row["set_size"] == int(cells["set_size"]) == len(line["set"]) >= 1
        assert line["set"] == sorted(line["set"], key=lambda name: -line["probabilities"][name])
        assert line["set"][0] == line["class"]
    assert (table[-1]["set"], sheet[-1]["set"], "set" in found[-1]) == (None, "", False)
    printed = call(*words)
    assert "probability %   set" in printed.stdout
    assert "size" in printed.stdout
    assert call("export", tmp_path / "portable", "--store", world / "store").exit_code == 0
    assert "`--sets 0.9`: `9 samples, validation kept apart" in (tmp_path / "portable/README.md").read_text("utf-8")
    alone = call("predict", world / "photos/test", "--adapter", tmp_path / "portable", "--sets", "0.8", "--json")
    assert alone.exit_code == 0, alone.stderr
    assert [json.loads(line)["set"] for line in alone.stdout.splitlines()] == [line["set"] for line in found[:-1]]


def test_python_gives_the_same_of_images_and_of_features(world: Path) -> None:
    adapter = xmap.load(store=world / "store")
    images = sorted((world / "photos/test").glob("*/*.png"))
    found = adapter.predict(images, sets=0.8)
    members = adapter.prediction_sets(adapter.encode(images), 0.8)
    for one, row in zip(found, members, strict=True):
        assert one.prediction_set is not None
        assert set(one.prediction_set) == {name for name, inside in zip(adapter.classes, row, strict=True) if inside}
    assert adapter.predict(images[0])[0].prediction_set is None
    assert str(adapter.sets(0.8)) == SAID
    with pytest.raises(InputError, match=r"such as 0\.8"):
        adapter.predict(images, sets=80)


def test_too_few_samples_give_all_classes_and_say_so(world: Path) -> None:
    result = call("predict", world / "photos/test", "--store", world / "store", "--sets", "0.95", "--sets-by", "class", "--json")
    assert {json.loads(line)["set_size"] for line in result.stdout.splitlines()} == {3}
    assert "sets of 95 %: 9 samples, validation kept apart; 95 % takes 19, so that every set is all classes" in result.stderr


def test_what_sets_go_by_is_not_passed_over_where_none_are_asked_for(world: Path) -> None:
    result = call("predict", world / "photos/test", "--store", world / "store", "--sets-by", "class")
    assert result.exit_code == 2
    assert "sets by class: no sets are asked for; give the share" in result.stderr


def test_what_sets_stand_on_is_shown(world: Path) -> None:
    shown = call("show", "adapter/photos-xmap-tiny-tip-adapter-2shot-seed1", "--store", world / "store")
    assert "for prediction sets: 9 samples, validation kept apart" in shown.stdout


@pytest.mark.failure("old store")
def test_an_adapter_of_the_first_version_says_that_it_keeps_none(tmp_path: Path) -> None:
    shutil.copytree(FROZEN / "store", tmp_path / "store")
    adapter = next(path.name for path in (tmp_path / "store/adapter").iterdir() if "tip-adapter-f" in path.name)
    photos = write_photos(tmp_path / "photos")
    result = call("predict", photos, "--store", tmp_path / "store", "--adapter", adapter, "--sets", "0.9")
    assert result.exit_code == 2
    assert "was trained before samples were kept apart for sets; " in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
