"""Each layout: what is taken over, in whatever format, and the sentence for what cannot be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.worlds.imported import (
    CLASSES,
    Told,
    column,
    table,
    take,
    vectors,
    write_arrays,
    write_clip_retrieval,
    write_img2dataset,
    write_table,
    write_texts,
)
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.errors import InputError, XmapError
from xmap.store.formats.features import ImageFeatures, read_images

SAVED = Path(__file__).parents[2] / "data" / "huggingface"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def rows_of(images: Artifact) -> dict[str, tuple[str, int, bytes]]:
    """Split, label and bytes of each vector, by id."""
    parts: dict[str, ImageFeatures] = {split: read_images(images.files(f"{split}-")) for split in images.summary["counts"]}
    return {
        name: (split, int(label), vector.tobytes())
        for split, rows in parts.items()
        for name, label, vector in zip(rows.sample_ids, rows.labels, rows.features, strict=True)
    }


def test_every_format_gives_the_same_rows_and_splits(store: Store, tmp_path: Path) -> None:
    found, labels, _ = vectors()
    texts = str(write_texts(tmp_path)[1])
    stored = {}
    for name in ("a.parquet", "a.feather", "a.arrow", "a.stream.arrow", "folder/a.parquet"):
        write_table(tmp_path / name, table())
        place = (tmp_path / name).parent if "/" in name else tmp_path / name
        stored[name] = take(store, "table", place, name=name, texts=texts)
    names = [f"img/{row}.jpg" for row in range(60)]
    write_arrays(tmp_path / "npy", features=found, labels=[CLASSES[label] for label in labels], ids=names)
    stored["npy"] = take(store, "npy", tmp_path / "npy", name="npy", texts=texts)
    parts = [images.summary["parts"] for images, _ in stored.values()]
    assert set(parts[0]) == {"train", "val", "test"}
    assert all(other == parts[0] for other in parts)
    rows = rows_of(stored["npy"][0])
    assert {name: (label, data) for name, (_, label, data) in rows.items()} == {
        name: (int(label), vector.tobytes()) for name, label, vector in zip(names, labels, found, strict=True)
    }


def test_columns_are_the_same_however_they_are_kept(store: Store, tmp_path: Path) -> None:
    """As polars and pandas write them: large or viewed texts, categories, lists of any length."""
    plain, kinds = table(), (pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string()))
    parts = [take(store, "table", write_table(tmp_path / "a.parquet", plain), name="plain")[0].summary["parts"]]
    for number, kind in enumerate(kinds):
        lists = pa.list_(pa.float32()) if number else pa.large_list(pa.float32())
        held = pa.table({"id": plain["id"], "embedding": plain["embedding"].cast(lists), "label": plain["label"].cast(kind)})
        places = [write_table(tmp_path / name, held) for name in ("a.parquet", "a.arrow")]
        parts += [take(store, "table", place, name=f"{number}{place.name}")[0].summary["parts"] for place in places]
    assert all(part == parts[0] for part in parts)


@pytest.mark.thorough
@pytest.mark.failure("odd label")
@pytest.mark.parametrize("name", ["a.parquet", "a.feather", "a.arrow", "a.stream.arrow", "features.npy"])
def test_bytes_of_any_kind_are_read_or_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    draw, said = np.random.default_rng(7), list[str]()
    layout, path = ("npy" if name == "features.npy" else "table"), tmp_path / name
    data = (write_arrays(tmp_path, features=vectors()[0]) / name if layout == "npy" else write_table(path, table())).read_bytes()
    for number in range(300):
        changed = bytearray(data)
        for _ in range(draw.choice([1, 1, 3, 9])):
            place = int(draw.integers(len(changed) if draw.random() < 0.7 else 100))
            changed[place : place + int(draw.integers(4))] = draw.bytes(int(draw.integers(4)))
        path.write_bytes(changed)
        try:
            take(Store(tmp_path / str(number)), layout, path)
        except XmapError as error:
            said.append(str(error))
    assert 0 < len(said) < 300
    assert not any("\n" in line for line in said)


def test_what_hugging_face_saved_is_read_without_it(store: Store) -> None:
    told = Told()
    images = take(store, "huggingface", SAVED / "splits", told)[0]
    assert images.summary["counts"] == {"train": 12, "val": 6, "test": 6, "pool": 2}
    assert images.summary["classes"] == list(CLASSES)
    rows = rows_of(images)
    assert rows["train/4"][:2] == ("train", 1)
    assert rows["unsupervised/1"][:2] == ("pool", -1)
    assert "read 'validation' as val" in told.lines
    assert any("without a label are kept as a pool" in line for line in told.lines)
    assert told.done == told.total == 2 * 26


def test_a_whole_data_set_in_several_files_has_its_splits_drawn(store: Store) -> None:
    told = Told()
    images = take(store, "huggingface", SAVED / "whole", told)[0]
    assert sum(images.summary["counts"].values()) == 9
    assert any("the data has no splits: drew" in line for line in told.lines)
    assert set(rows_of(images)) == set(map(str, range(9)))


def test_clip_retrieval_is_read_with_its_metadata(store: Store, tmp_path: Path) -> None:
    images = take(store, "clip-retrieval", write_clip_retrieval(tmp_path / "emb"))[0]
    rows = rows_of(images)
    assert rows["img/31.jpg"][1:] == (1, vectors()[0][31].astype(np.float16).tobytes())
    assert read_images(images.files("train-")).features.dtype == np.float16


def test_clip_retrieval_without_metadata_is_a_pool_of_numbers(store: Store, tmp_path: Path) -> None:
    shutil.rmtree(write_clip_retrieval(tmp_path / "emb") / "metadata")
    rows = rows_of(take(store, "clip-retrieval", tmp_path / "emb")[0])
    assert (len(rows), rows["00000031"][:2]) == (60, ("pool", -1))


def test_img2dataset_leaves_out_what_it_did_not_get(store: Store, tmp_path: Path) -> None:
    told = Told()
    rows = rows_of(take(store, "img2dataset", write_img2dataset(tmp_path / "shards"), told)[0])
    assert len(rows) == 56
    assert "000010003" not in rows
    assert rows["000010004"][1] == 1
    assert "4 rows were left out: their status is not 'success'" in told.lines


def test_the_tables_of_a_folder_say_splits_by_their_names(store: Store, tmp_path: Path) -> None:
    for name, start in (("train-0", 0), ("train-1", 20), ("test-0", 40)):
        write_table(tmp_path / "data" / f"{name}.parquet", table().slice(start, 20))
    images = take(store, "table", tmp_path / "data")[0]
    assert images.summary["counts"] == {"train": 40, "test": 20}


def broken(path: Path, name: str, **columns: Any) -> Path:
    return write_table(path / name, table(**columns))


def cut(path: Path, name: str) -> Path:
    data = broken(path, name).read_bytes()
    return no_table(path / name, data[:-40])


def no_table(path: Path, data: bytes = b"PAR1 no") -> Path:
    path.write_bytes(data)
    return path


def odd(row: int, value: float, dtype: type = np.float32) -> pa.Array:
    found = vectors()[0].astype(dtype)
    found[row, 2] = value
    return column(found)


def ragged() -> pa.Array:
    return pa.array([[1.0, 2.0]] * 59 + [[1.0]])


def linked(folder: Path, names: object, key: str = "_data_files") -> Path:
    folder.mkdir()
    (folder / "state.json").write_text(json.dumps({key: names}))
    return folder


def two(folder: Path, **columns: Any) -> Path:
    """Two tables, of which the second has other columns."""
    broken(folder / "d", "b.parquet", **columns)
    return broken(folder / "d", "a.parquet").parent


BROKEN: dict[str, tuple[str, Callable[[Path], Path], str]] = {
    "nothing": ("table", lambda at: at / "absent.parquet", "no "),
    "no table": ("table", lambda at: write_arrays(at / "x"), "nor a folder with some"),
    "no Parquet": ("table", lambda at: no_table(at / "a.parquet"), "cannot read the table"),
    "a cut Parquet": ("table", lambda at: cut(at, "a.parquet"), "cannot read the table"),
    "a cut Arrow file": ("table", lambda at: cut(at, "a.arrow"), "cannot read the table"),
    "a cut stream": ("table", lambda at: cut(at, "a.stream.arrow"), "cannot read the table"),
    "no vectors": ("table", lambda at: broken(at, "a.parquet", embedding=None), "has no column of vectors"),
    "two of vectors": ("table", lambda at: broken(at, "a.parquet", other=odd(0, 1)), "choose one with --vectors"),
    "nan": ("table", lambda at: broken(at, "a.parquet", embedding=odd(7, np.nan)), "row 7 holds numbers that are not finite"),
    "too large": ("table", lambda at: broken(at, "a.parquet", embedding=odd(7, 1e300, np.float64)), "row 7 holds numbers that are too"),
    "zero": ("table", lambda at: broken(at, "a.parquet", embedding=column(np.eye(60, 8))), "row 8 is a vector of length 0"),
    "widths": ("table", lambda at: broken(at, "a.parquet", embedding=ragged()), "row 59 has a vector of 1 numbers, others have 2"),
    "a hole": ("table", lambda at: broken(at, "a.parquet", embedding=pa.array([[1.0, 2.0]] * 59 + [None])), "row 59 has no vector"),
    "a hole in one": ("table", lambda at: broken(at, "a.parquet", embedding=pa.array([[1.0, None]] * 60)), "row 0 has a vector"),
    "twice": ("table", lambda at: broken(at, "a.parquet", id=["a", "a", "b", "b", *map(str, range(56))]), "2 ids ('a', 'b') more"),
    "an id of none": ("table", lambda at: broken(at, "a.parquet", id=[None, *map(str, range(59))]), "row 0 has the id None"),
    "an id of signs": ("table", lambda at: broken(at, "a.parquet", id=["a\x1b[2J", *map(str, range(59))]), "control characters"),
    "a long id for all": ("table", lambda at: broken(at, "a.parquet", id=["a" * 100_000] * 60), "has a text of more than 16,384 bytes"),
    "one class": ("table", lambda at: broken(at, "a.parquet", label=["ant"] * 60), "has one class, 'ant'"),
    "several kinds": ("table", lambda at: two(at, label=[*range(60)]), "have labels of different kinds"),
    "columns differ": ("table", lambda at: two(at, label=None), "has no column 'label', which"),
    "no state": ("huggingface", lambda at: at, "has no state.json"),
    "state of nothing": ("huggingface", lambda at: linked(at / "d", []), "which is nothing beside it"),
    "state no JSON": ("huggingface", lambda at: linked(at / "d", 3), "does not list _data_files"),
    "state outside": ("huggingface", lambda at: linked(at / "d", [{"filename": "../a.arrow"}]), "names '../a.arrow'"),
    "no image vectors": ("clip-retrieval", lambda at: at, "has no img_emb/img_emb_0.npy"),
    "no status": ("img2dataset", lambda at: broken(at, "a.parquet"), "read it as the layout table"),
    "no column": ("img2dataset", lambda at: broken(at, "a.parquet", status=["success"] * 60, embedding=None), "xmap extract --data"),
    "no array": ("npy", lambda at: write_arrays(at / "d", labels=np.zeros(3)), "has no features.npy or embeddings.npy or vectors.npy"),
    "labels short": ("npy", lambda at: write_arrays(at / "d", features=np.ones((4, 2)), labels=np.zeros(3)), "labels.npy has 3 rows and"),
}  # fmt: skip


@pytest.mark.parametrize("layout", ["npy", "clip-retrieval"])
def test_arrays_have_no_columns_that_could_be_asked_for(store: Store, tmp_path: Path, layout: str) -> None:
    write_arrays(tmp_path / "npy", features=vectors()[0])
    shutil.rmtree(write_clip_retrieval(tmp_path / "clip-retrieval") / "metadata")
    (tmp_path / "labels.txt").write_text("ant\n" * 60)
    for role, name in (("labels", str(tmp_path / "labels.txt")), ("ids", "key"), ("splits", "split")):
        with pytest.raises(InputError, match=f"--{role} .* has no columns; name a file"):
            take(store, layout, tmp_path / layout, None, **{role: name})
    assert store.artifacts() == []


@pytest.mark.failure("odd label")
@pytest.mark.parametrize("fault", BROKEN)
def test_what_cannot_be_used_is_one_sentence(store: Store, tmp_path: Path, fault: str) -> None:
    layout, write, said = BROKEN[fault]
    with pytest.raises(InputError) as caught:
        take(store, layout, write(tmp_path))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert store.artifacts() == []


@pytest.mark.parametrize("fault", ["rows", "file", "number"])
def test_metadata_of_other_images_is_refused(store: Store, tmp_path: Path, fault: str) -> None:
    folder = write_clip_retrieval(tmp_path / "emb")
    told = folder / "metadata" / "metadata_1.parquet"
    if fault == "rows":
        write_table(told, pa.table({"image_path": ["a", "b"]}))
    elif fault == "file":
        told.unlink()
    else:
        told.rename(told.with_name("metadata_7.parquet"))
    with pytest.raises(InputError, match=r"has 2 rows and img_emb_1.npy has 30 vectors|do not have the same files, such as number 1"):
        take(store, "clip-retrieval", folder)
