"""Images without labels: the same ones wherever they lie, and nothing of what would be a label is asked or read."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from blake3 import blake3

from tests.worlds.pictures import picture
from tests.worlds.tars import encoded, write_tar
from xmap.stages.datasets.content.hashing import hash_places
from xmap.stages.datasets.open import open_pool
from xmap.store.errors import InputError
from xmap.store.memory.hashes import hexes
from xmap.store.memory.notes import Notes

PICTURES = {f"{name}.png": encoded(picture(number)) for number, name in enumerate(("a", "b", "odd, = name"))}


def flat(root: Path) -> Path:
    (root / "flat").mkdir()
    for name, data in PICTURES.items():
        (root / "flat" / name).write_bytes(data)
    # What lies beside images is none of them.
    (root / "flat" / "labels.parquet").write_bytes(b"no table")
    return root / "flat"


def nested(root: Path) -> Path:
    for number, (name, data) in enumerate(PICTURES.items()):
        folder = root / "nested" / ("images" if number else "train/deep")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return root / "nested"


def paths(root: Path) -> Path:
    flat(root)
    (root / "paths.csv").write_text("path\n" + "".join(f'"flat/{name}"\n' for name in [*PICTURES, "a.png"]))
    return root / "paths.csv"


def half_labelled(root: Path) -> Path:
    flat(root)
    rows = ({"path": f"flat/{name}", "label": "" if place else "cat"} for place, name in enumerate(PICTURES))
    (root / "half.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return root / "half.jsonl"


def tar(root: Path) -> Path:
    return write_tar(root / "pool.tar", [*PICTURES.items(), ("a.cls", b"\0 no label"), ("b.json", b"{")])


def cells(root: Path) -> Path:
    pq.write_table(pa.table({"image": list(PICTURES.values())}), root / "cells.parquet")
    return root / "cells.parquet"


@pytest.mark.parametrize("make", [flat, nested, paths, half_labelled, tar, cells])
def test_the_same_images_wherever_they_lie(make: object, tmp_path: Path) -> None:
    assert callable(make)
    pool = open_pool(str(make(tmp_path)), Notes())
    assert sorted(hexes(hash_places(pool.samples.places, Notes()))) == sorted(blake3(data).hexdigest() for data in PICTURES.values())
    assert not [sample_id for sample_id in pool.samples.ids.tolist() if sample_id.startswith((".", "/"))]
    assert (pool.classes, set(pool.samples.labels.tolist()), set(pool.samples.splits.tolist())) == ((), {0}, {-1})


@pytest.mark.failure("wrong layout")
@pytest.mark.parametrize("name", ["empty", "gone", "notes.txt", "other.csv"])
def test_what_holds_no_images_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("none")
    (tmp_path / "other.csv").write_text("x,y\n1,2\n")
    for flag, said in (("", ""), ("--pool", "--pool ")):
        with pytest.raises(InputError, match=name) as caught:
            open_pool(str(tmp_path / name), Notes(), flag=flag)
        assert "--data" not in str(caught.value), "nobody gave that"
        assert name != "gone" or str(caught.value).startswith(f"{said}{tmp_path / name} does not exist")
