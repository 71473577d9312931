"""CSV and Parquet tables of images."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.worlds.datasets import read
from xmap.stages.datasets.content.hashing import hash_places
from xmap.stages.datasets.content.wide import has_wide
from xmap.stages.datasets.dataset import TEST, TRAIN
from xmap.stages.datasets.places.columns import places_of
from xmap.stages.images.decode import BadImage
from xmap.stages.images.read import read_place
from xmap.store.errors import EmptyInput, InputError
from xmap.store.memory.notes import Notes


def csv_file(folder: Path, text: str) -> Path:
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_csv_with_splits_and_extra_columns(tmp_path: Path) -> None:
    text = '\ufeff,path,label,split,place\n0,img/b.jpg,dog,train,"Bonn, DE"\n1,./img//a.jpg,cat,train,\n2,img/c.jpg,cat,test,x\n'
    found = read(csv_file(tmp_path, text))
    assert (found.name, found.classes, found.remarks) == ("table", ("cat", "dog"), ("test has no image of 'dog'",))
    assert [sample.sample_id for sample in found.split(TRAIN)] == ["img/a.jpg", "img/b.jpg"]
    assert found.split(TEST)[0].place == tmp_path / "img/c.jpg"


def test_parquet_says_the_same_as_csv(tmp_path: Path) -> None:
    rows = {"path": ["a.jpg", "b.jpg"], "label": [3, 4], "split": ["train", "train"], "score": [0.5, None]}
    pq.write_table(pa.table(rows), tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_text("path,label,split,score\na.jpg,3,train,0.5\nb.jpg,4,train,\n")
    one, other = read(tmp_path / "t.parquet"), read(tmp_path / "t.csv")
    assert one == other


def test_a_table_without_splits_is_split(tmp_path: Path) -> None:
    found = read(csv_file(tmp_path, "path,label\n" + "".join(f"{n}.jpg,{n % 2}\n" for n in range(20))))
    assert [len(found.split(split)) for split in (TRAIN, TEST)] == [10, 6]


def test_row_order_does_not_matter(tmp_path: Path) -> None:
    lines = [f"{n}.jpg,{'ab'[n % 2]}\n" for n in range(20)]
    one = read(csv_file(tmp_path, "path,label\n" + "".join(lines)))
    other = read(csv_file(tmp_path, "path,label\n" + "".join(reversed(lines))))
    assert one == other


def test_number_labels_are_ordered_by_value(tmp_path: Path) -> None:
    text = "path,label,split\n" + "".join(f"{n}.jpg,{n},train\n" for n in (10, 2, 0, 1))
    assert read(csv_file(tmp_path, text)).classes == ("0", "1", "2", "10")
    (tmp_path / "names.txt").write_text("zero\none\ntwo\nten\n")
    found = read(tmp_path / "table.csv", classes=str(tmp_path / "names.txt"))
    assert {sample.sample_id: found.classes[sample.label] for sample in found.samples}["10.jpg"] == "ten"


def test_an_absolute_path_inside_the_folder_gets_a_relative_id(tmp_path: Path) -> None:
    found = read(csv_file(tmp_path, f"path,label,split\n{tmp_path}/x/a.jpg,c,train\n/other/b.jpg,d,train\n"))
    assert [sample.sample_id for sample in found.samples] == ["/other/b.jpg", "x/a.jpg"]
    assert found.samples[1].place == tmp_path / "x/a.jpg"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("where,label\na.jpg,x\n", "no column 'path' but where, label"),
        ("path,label\na.jpg,x\nb.jpg\n", "row 3 has more or fewer values"),
        ("path,label\na.jpg,x\nb.jpg,x,y\n", "row 3 has more or fewer values"),
        ("path,label\na.jpg,x\n,x\n", "row 3 has no usable path"),
        ("path,label\na.jpg,\n", "row 2 has no usable label"),
        ('path,label\na.jpg,"x\ny"\n', r"row 3 has no usable label \('x\\ny'\) \(it holds a control character"),
        (f"path,label\na.jpg,{'9' * 5000}\n", "it has 5,000 characters, the limit is 1,000"),
        ("path,label,label\na.jpg,x,y\n", "has several columns 'label'; rename all but one"),
        ("path,label,split\na.jpg,x,extra\n", "row 2 has split 'extra'; write one of train, val, test"),
        ("path,label,split\na.jpg,x,train\nb.jpg,x,\n", "row 3 has split ''"),
        ("path,label\na.jpg,x\n./a.jpg,y\n", "row 3 repeats 'a.jpg' of row 2"),
        ("path,label,split\na.jpg,x,train\nb.jpg,y,test\n", "no training image of 'y'"),
        ('path,label\n"a.jpg,x\n', r"cannot read the table .*, row 2: a quotation mark in it is not closed; look for"),
        (f"path,label\na.jpg,x\n{'b' * 140_000},x\n", r", row 3: it has a value of more than 131,072 characters; .* or shorten the value"),
        (f'sep=;\npath;label\na.jpg;x\n"b.jpg;x\n{"c.jpg;x" * 20_000}', r", row 4: it has a value of more .*; look for a quotation mark"),
        ('path,label\na.jpg,"x"y\n', r", row 2: ',' expected after '\"'; look for"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_row(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(csv_file(tmp_path, text))


@pytest.mark.parametrize("name", ["a" * 256 + ".jpg", f"{'b' * 300}/a.png", "c/" * 3000 + "a.png", " " + "é" * 128 + ".tif "])
def test_a_path_that_no_file_system_takes_is_a_missing_image(tmp_path: Path, name: str) -> None:
    found = read(csv_file(tmp_path, f"path,label,split\n{name},x,train\nb.jpg,y,train\n"))
    place = next(sample.place for sample in found.samples if sample.sample_id != "b.jpg")
    assert not hash_places(places_of([place]), Notes())[0]
    assert not has_wide([place], "", Notes())
    bad = read_place(place)
    assert isinstance(bad, BadImage)
    assert bad.kind == "missing"


def test_no_rows_and_no_table(tmp_path: Path) -> None:
    with pytest.raises(EmptyInput):
        read(csv_file(tmp_path, "path,label\n"))
    (tmp_path / "table.csv").write_bytes(b"path,label\n\x81,x\n")
    with pytest.raises(InputError, match="not UTF-8"):
        read(tmp_path / "table.csv")
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    with pytest.raises(InputError, match="cannot read the table"):
        read(tmp_path / "bad.parquet")
    pq.write_table(pa.table({"path": ["a.jpg"], "label": pa.array([None], pa.string())}), tmp_path / "null.parquet")
    with pytest.raises(InputError, match="row 1 has no usable label"):
        read(tmp_path / "null.parquet")
