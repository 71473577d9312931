"""Parquet tables of images: the features of the same images in folders, bit for bit, and bad cells by name."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.worlds.extraction import ONE, Plan, Told, planner, tree
from tests.worlds.parquet import PNG, write, write_tables
from tests.worlds.pictures import write_images
from xmap.store.errors import InputError
from xmap.store.formats.features import read_errors, read_images


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    return write_tables(tmp_path / "pets")


@pytest.fixture
def plan(tables: Path, tiny_model_dir: Path, tmp_path: Path) -> Plan:
    return planner(tables, tiny_model_dir, tmp_path, ONE)


@pytest.mark.parametrize("workers", [0, 2])
def test_features_are_those_of_the_same_images_in_folders(plan: Plan, tmp_path: Path, workers: int) -> None:
    names = [f"train/{name}/{number}.png" for number, name in enumerate(("cat", "dog", "cat", "dog", "cat"))]
    root = write_images(tmp_path / "folder", ["test/cat/0.png", "test/dog/0.png"], 20)
    for name, data in zip(names, PNG, strict=False):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    one, other = (read_images(job.run(workers).files("train-")) for job in (plan(), plan(store="files", root=root)))
    places = {name: number for number, name in enumerate(dict.fromkeys(other.sample_ids))}
    order = [2 * places[name] + view for name in names for view in (0, 1)]
    assert one.labels.tolist() == other.labels[order].tolist()
    # Augmented views too: these depend on the bytes, not on the name.
    assert one.features.tobytes() == other.features[order].tobytes()


def test_replacing_one_table_encodes_its_new_images_alone(plan: Plan, tables: Path) -> None:
    plan().run()
    write(tables / "data" / "train-00001-of-00002.parquet", [2, 0, 0], 9, names=["cat", "owl", "dog"])
    told = Told()
    after = plan().run(progress=told)
    assert told.starts == [("encode images", 10, 7)]
    assert tree(plan(store="other").run(2)) == tree(after)


def test_bad_cells_are_listed_by_name(plan: Plan, tmp_path: Path) -> None:
    images = [*PNG[:3], None, b"", b"<html>", PNG[4][:200]]
    table = pa.table({"image": pa.array(images, pa.binary()), "label": ["a", "b"] + ["a"] * 5, "split": ["train"] * 2 + ["test"] * 5})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=3)
    artifact = plan(root=tmp_path / "t.parquet").run(2)
    assert [(row.path, row.kind) for row in read_errors(artifact.file("errors.parquet"))] == [
        (f"t.parquet/0000000{row}", kind) for row, kind in ((3, "missing"), (4, "empty"), (5, "not-an-image"), (6, "truncated"))
    ]
    assert artifact.summary["counts"] == {"train": 2, "test": 1}


@pytest.mark.failure("changed input")
@pytest.mark.parametrize("change", ["replace", "shorter", "truncate", "remove"])
def test_a_table_that_changes_during_the_work_is_noticed(plan: Plan, tables: Path, change: str) -> None:
    job, path = plan(), tables / "data" / "train-00000-of-00002.parquet"
    if change in ("replace", "shorter"):
        write(tables / "new.parquet", [0, 2, 0] if change == "replace" else [], 12)
        os.replace(tables / "new.parquet", path)
    elif change == "truncate":
        os.truncate(path, 700)
    else:
        path.unlink()
    with pytest.raises(InputError, match=r"train-00000-of-00002.parquet/00000000 (changed while|was there when).*; run the same"):
        job.run()
