"""How answers leave `xmap predict`: folders of Parquet files, classes listed, promises kept beside them."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from tests.worlds.commands import call
from tests.worlds.inputs import write_photos

RUN = ("--model", "xmap-tiny", "--views", "1", "--batch-size", "4", "--workers", "0", "--shots", "2", "--seeds", "1", "--quiet")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photos` and the `store` of a run on them."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("world")
    photos = write_photos(folder / "photos", test=4)
    done = call("run", "--data", photos, *RUN, "--methods", "xmadapter", "--store", folder / "store")
    assert done.exit_code == 0, done.output
    return folder


def test_a_folder_gets_the_rows_of_a_file(world: Path, tmp_path: Path) -> None:
    words = ("predict", world / "photos/test", "--store", world / "store", "--quiet", "--sets", "0.9")
    assert call(*words, "-o", tmp_path / "one.parquet").exit_code == 0
    (tmp_path / "empty").mkdir()
    for named, folder in ((f"{tmp_path}/new/", "new"), (tmp_path / "empty", "empty")):
        done = call(*words, "-o", named)
        assert done.exit_code == 0, done.output
        assert [path.name for path in (tmp_path / folder).iterdir()] == ["answers-00000.parquet"]
        assert pq.read_table(tmp_path / folder / "answers-00000.parquet").equals(pq.read_table(tmp_path / "one.parquet"))
    assert b"sets of 90 %" in pq.read_schema(tmp_path / "one.parquet").metadata[b"xmap.sets"]
    again = call(*words, "-o", tmp_path / "new")
    assert (again.exit_code, "it is not empty" in again.stderr) == (2, True)
    wrong = call(*words, "-o", f"{tmp_path}/other/", "--json")
    assert (wrong.exit_code, "a folder, which gets Parquet files, and jsonl was asked for" in wrong.stderr) == (2, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "new", "one.parquet"]


def test_nothing_is_left_of_a_folder_that_fails(world: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    done = call("predict", tmp_path / "text.png", "--store", world / "store", "-o", f"{tmp_path}/answers/")
    assert (done.exit_code, "none of the 1 images" in done.stderr) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["text.png"]


def test_lines_list_the_classes_asked_for_and_say_the_level(world: Path) -> None:
    image = world / "photos/test/bee/0.png"
    words = ("predict", image, "--store", world / "store", "--json", "--quiet")
    whole, best = (json.loads(call(*words, *more).stdout) for more in ((), ("--top", "2", "--sets", "0.9")))
    assert list(whole["probabilities"]) == ["ant", "bee", "cat"]
    assert list(best["probabilities"].items()) == sorted(whole["probabilities"].items(), key=lambda item: -item[1])[:2]
    assert (best["set_level"], "set_level" in whole) == (0.9, False)
