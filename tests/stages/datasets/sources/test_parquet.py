"""Parquet tables with image bytes, as Hugging Face and others write them."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xmap.stages.datasets.sources.cells
import xmap.stages.datasets.sources.parquet
import xmap.store.memory.hashes
from tests.worlds.datasets import read
from tests.worlds.parquet import PNG, write, write_tables
from xmap.stages.config import DataConfig
from xmap.stages.datasets.dataset import TEST, TRAIN, VAL
from xmap.stages.datasets.open import open_dataset
from xmap.stages.images.decode import BadImage
from xmap.stages.images.read import read_place
from xmap.store.errors import EmptyInput, InputError
from xmap.store.memory.notes import Notes


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    return write_tables(tmp_path / "pets")


def test_hugging_faces_layout(tables: Path) -> None:
    found = read(tables)
    assert (found.name, found.classes) == ("pets", ("cat", "dog"))
    assert found.remarks == ("read 'validation' as val", "1 classes without images were left out: 'owl'")
    assert [sample.sample_id for sample in found.split(TRAIN)] == [
        f"data/train-0000{part}-of-00002.parquet/0000000{row}" for part, row in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1))
    ]
    assert [sample.label for sample in found.split(TRAIN)] == [0, 1, 0, 1, 0]
    assert [len(found.split(split)) for split in (VAL, TEST)] == [2, 2]
    assert [read_place(sample.place) for sample in found.split(TRAIN)] == PNG[:5]
    assert read(tables / "data").classes == read(str(tables / "data/*.parquet")).classes == found.classes


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("labels", [["dog", " cat ", "dog"], [10, 2, 10]])
def test_one_table_of_plain_bytes_or_of_structs(tmp_path: Path, nested: bool, labels: list[Any]) -> None:
    found = read(write(tmp_path / "t.parquet", labels, nested=nested), test_share=0.4)
    assert (found.name, found.classes) == ("t", ("2", "10") if labels[0] == 10 else ("cat", "dog"))
    assert {sample.sample_id for sample in found.samples} == {f"t.parquet/0000000{row}" for row in range(3)}
    assert {read_place(sample.place) for sample in found.samples} == set(PNG[:3])


def test_a_split_column_counts_before_names(tmp_path: Path) -> None:
    write(tmp_path / "train-0.parquet", [0, 0, 0, 1], split=["train", "validation", "Testing ", "train"])
    found = read(tmp_path)
    assert [[sample.sample_id[-1] for sample in found.split(split)] for split in (TRAIN, VAL, TEST)] == [["0", "3"], ["1"], ["2"]]
    assert "read 'validation' as val, 'Testing' as test" in found.remarks


def test_a_table_of_paths_stays_one(photos: Path, tmp_path: Path) -> None:
    rows = {"path": ["cat/0.jpg", "cat/1.jpg"], "label": ["a", "b"], "split": ["train", "train"]}
    pq.write_table(pa.table(rows), photos / "train" / "t.parquet")
    found = read(photos / "train" / "t.parquet")
    assert [sample.place for sample in found.samples] == [photos / "train/cat/0.jpg", photos / "train/cat/1.jpg"]
    (tmp_path / "a").mkdir()
    shutil.copy(photos / "train" / "t.parquet", tmp_path / "a" / "t.parquet")
    write(tmp_path / "a" / "u.parquet", [0])
    with pytest.raises(InputError, match=r"'t.parquet' holds no images; give tables with image bytes alone"):
        read(tmp_path / "a")


def test_classes_of_a_names_file(tmp_path: Path) -> None:
    write(tmp_path / "t.parquet", [1, 0, 1, 0])
    (tmp_path / "names.txt").write_text("zero\none\n")
    assert read(tmp_path / "t.parquet", classes=str(tmp_path / "names.txt")).classes == ("zero", "one")


def table_of(image: pa.Array, label: Any = (0,), **more: Any) -> pa.Table:
    return pa.table({"image": image, "label": list(label), **more})


ONE_IMAGE = pa.array([PNG[0]], pa.binary())
UNFIT = {
    "no label": (pa.table({"image": ONE_IMAGE, "kind": [1]}), "has images in 'image' and no column 'label' but 'image', 'kind'"),
    "null label": (table_of(ONE_IMAGE, pa.array([None], pa.int64())), "row 1 has no usable label (None)"),
    "fraction": (table_of(ONE_IMAGE, [0.5]), "row 1 has no usable label (0.5)"),
    "not a number": (table_of(ONE_IMAGE, [float("nan")]), "row 1 has no usable label (nan) (it says none)"),
    "infinite": (table_of(ONE_IMAGE, [float("inf")]), "row 1 has no usable label (inf)"),
    "list": (table_of(ONE_IMAGE, [[1]]), "row 1 has no usable label ([1]) (it is of the kind list"),
    "struct": (table_of(ONE_IMAGE, [{"name": "a"}]), "(it is of the kind dict, neither a name nor a number)"),
    "bytes": (pa.table({"image": ONE_IMAGE, "label": [b"a"]}), "(it is of the kind bytes, neither a name nor a number)"),
    "two": (
        table_of(pa.array(PNG[:3], pa.binary()), [None, 1, None]),
        "row 1 has no usable label (None) (it says none), nor have 1 other rows",
    ),
    "empty name": (table_of(ONE_IMAGE, [" "]), "row 1 has no usable label"),
    "split": (table_of(ONE_IMAGE, split=["later"]), "row 1 has split 'later'; write one of train, val, test"),
    "two columns": (pa.table({"a": ONE_IMAGE, "b": ONE_IMAGE, "label": [1]}), "several columns of bytes ('a', 'b')"),
    "names": (table_of(ONE_IMAGE).replace_schema_metadata({"huggingface": "{"}), "is no JSON"),
    "deep names": (table_of(ONE_IMAGE).replace_schema_metadata({"huggingface": "[" * 99_999}), "is no JSON"),
    "equal names": (
        table_of(ONE_IMAGE).replace_schema_metadata({"huggingface": '{"info": {"features": {"label": {"names": ["a", "a"]}}}}'}),
        "its class names are not different",
    ),
    "broken names": (
        table_of(ONE_IMAGE).replace_schema_metadata({"huggingface": '{"info": {"features": {"label": {"names": ["\\ud800", "a"]}}}}'}),
        "its class names are not different, non-empty names (it is no UTF-8 text)",
    ),
    "two lines": (table_of(ONE_IMAGE, ["a\nb"]), "(it holds a control character or a line end)"),
    "long label": (table_of(ONE_IMAGE, ["9" * 5000]), "(it has 5,000 characters, the limit is 1,000)"),
    "two images": (pa.table([ONE_IMAGE, ONE_IMAGE, [1]], names=["image", "image", "label"]), "has several columns 'image'; rename"),
    "two labels": (pa.table([ONE_IMAGE, [1], [1]], names=["image", "label", "label"]), "has several columns 'label'; rename"),
    "deep bytes": (
        table_of(pa.array([{"bytes": {"bytes": b"x"}}], pa.struct([("bytes", pa.struct([("bytes", pa.binary())]))]))),
        "row 1 has no usable path",
    ),
    "hidden": (
        table_of(ONE_IMAGE, [-1]).replace_schema_metadata({"huggingface": '{"info": {"features": {"label": {"names": ["a", "b"]}}}}'}),
        "row 1 has no usable label (-1) (it is negative, and the table names its classes)",
    ),
    "unnamed": (
        table_of(ONE_IMAGE, [3]).replace_schema_metadata({"huggingface": '{"info": {"features": {"label": {"names": ["a", "b"]}}}}'}),
        "row 1 has no usable label (3) (the table names 2 classes)",
    ),
}


@pytest.mark.parametrize("name", UNFIT)
def test_what_cannot_be_used_is_refused_with_its_row(tmp_path: Path, name: str) -> None:
    table, message = UNFIT[name]
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(InputError) as found:
        read(tmp_path / "t.parquet")
    assert message in str(found.value)


def test_tables_that_do_not_fit_together_are_refused(tables: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tables / "data" / "train-00001-of-00002.parquet", [0, 1], names=["dog", "cat"])
    with pytest.raises(InputError, match="the tables differ in their class names"):
        read(tables)
    write(tables / "data" / "more.parquet", [0])
    with pytest.raises(InputError, match=r"such as 'data/more.parquet'; put each into train/, val/ or test/"):
        read(tables)
    monkeypatch.setattr(xmap.stages.datasets.sources.cells, "MAX_GROUP", 100)
    with pytest.raises(InputError, match="bytes of images; write row groups of 1,000 rows or fewer"):
        read(write(tables / "t.parquet", [0]))


def test_no_rows_and_no_table(tmp_path: Path) -> None:
    with pytest.raises(EmptyInput):
        read(write(tmp_path / "t.parquet", []))
    data = write(tmp_path / "t.parquet", [0, 1, 0]).read_bytes()
    for cut in (0, 4, len(data) // 2, len(data) - 1):
        (tmp_path / "t.parquet").write_bytes(data[:cut])
        with pytest.raises(InputError, match="cannot read the table"):
            read(tmp_path / "t.parquet")


@given(
    labels=st.lists(st.integers(0, 5), min_size=2, max_size=9).filter(lambda labels: len(set(labels)) > 1),
    rows=st.integers(1, 9),
    more=st.integers(1, 9),
)
def test_row_groups_change_nothing(tmp_path_factory: pytest.TempPathFactory, labels: list[int], rows: int, more: int) -> None:
    folder = tmp_path_factory.mktemp("groups")
    images = [f"{number}".encode() for number in range(len(labels))]
    found = []
    for size in (rows, more):
        pq.write_table(pa.table({"image": images, "label": labels}), folder / "t.parquet", row_group_size=size)
        dataset = read(folder / "t.parquet")
        found.append([(sample.sample_id, sample.label, sample.split, read_place(sample.place)) for sample in dataset.samples])
        (folder / "t.parquet").unlink()
    assert found[0] == found[1]
    for sample_id, _, _, data in found[0]:
        assert data == str(int(sample_id.rpartition("/")[2])).encode()


def test_an_unchanged_table_is_listed_once(tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xmap.store.memory.hashes, "YOUNG_NS", 0)
    config, notes = DataConfig(data=str(tables)), Notes(tmp_path / "hashes.sqlite")
    first = open_dataset(config, notes=notes)
    with monkeypatch.context() as patch:
        patch.setattr(xmap.stages.datasets.sources.parquet, "_list", None)
        assert open_dataset(config, notes=notes) == first
    write(tables / "data" / "train-00001-of-00002.parquet", [0, 0, 2], 9, names=["cat", "owl", "dog"])
    assert len(open_dataset(config, notes=notes).samples) == 10


def test_threads_that_want_a_row_group_together_read_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [f"{number}".encode() for number in range(64)]
    pq.write_table(pa.table({"image": images, "label": [0, 1] * 32}), tmp_path / "t.parquet", row_group_size=32)
    places = sorted((sample.place for sample in read(tmp_path / "t.parquet").samples), key=str)
    real, groups = xmap.stages.datasets.sources.cells.read_group, []

    def slowly(*arguments: Any) -> Any:
        groups.append(arguments[-1])
        time.sleep(0.05)
        return real(*arguments)

    monkeypatch.setattr(xmap.stages.datasets.sources.cells, "read_group", slowly)
    with ThreadPoolExecutor(8) as pool:
        for start in (0, 32):
            assert list(pool.map(read_place, places[start : start + 32])) == images[start : start + 32]
    assert groups == [0, 1]


def test_a_table_that_is_gone_has_no_image(tables: Path) -> None:
    place = read(tables).split(VAL)[0].place
    (tables / "data" / "validation-0.parquet").unlink()
    assert read_place(place) == BadImage("missing", "there is no such file, or it is a link to none")
