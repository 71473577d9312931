"""Corrected labels lie over the data's own: by id, path or content, from every kind of table, and nothing else changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.worlds.benchmarks import make_all
from tests.worlds.datasets import counts, read, touch
from tests.worlds.parquet import write_tables
from tests.worlds.tars import write_shards
from xmap.stages.config import DataConfig
from xmap.stages.datasets.dataset import TEST, TRAIN, Dataset
from xmap.stages.datasets.open import open_dataset
from xmap.stages.datasets.places.place import Cell, Member
from xmap.stages.datasets.sources.corrections import LEAVE_OUT
from xmap.store.errors import InputError

CLASSES = ("ant", "bee", "cat")
IDS = [f"{split}/{name}/{number}.jpg" for split in (TRAIN, TEST) for name in CLASSES for number in range(3)]
Row = tuple[str, object]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return touch(tmp_path / "data", *IDS)


def as_csv(path: Path, rows: Sequence[Row], column: str = "sample_id") -> None:
    path.write_text(f"{column},label\n" + "".join(f"{name},{label}\n" for name, label in rows))


def as_tsv(path: Path, rows: Sequence[Row], column: str = "sample_id") -> None:
    path.write_text(f"{column}\tlabel\n" + "".join(f"{name}\t{label}\n" for name, label in rows))


def as_parquet(path: Path, rows: Sequence[Row], column: str = "sample_id") -> None:
    names, labels = zip(*rows, strict=True)
    pq.write_table(pa.table({column: names, "label": labels}), path)


def as_lines(path: Path, rows: Sequence[Row], column: str = "sample_id") -> None:
    path.write_text("".join(json.dumps({column: name, "label": label}) + "\n" for name, label in rows))


WRITERS: dict[str, Callable[..., None]] = {".csv": as_csv, ".tsv": as_tsv, ".parquet": as_parquet, ".jsonl": as_lines}


def corrected(root: Path, *rows: Row, suffix: str = ".csv", column: str = "sample_id", **config: object) -> Dataset:
    table = root.parent / f"right{suffix}"
    WRITERS[suffix](table, rows, column)
    return read(root, labels=str(table), **config)


def labels_of(found: Dataset) -> dict[str, str]:
    return {sample.sample_id: found.classes[sample.label] for sample in found.samples}


@pytest.mark.parametrize("suffix", WRITERS)
def test_every_kind_of_table_corrects_leaves_out_and_says_so(root: Path, suffix: str) -> None:
    rows = [("train/ant/0.jpg", "bee"), ("test/cat/1.jpg", "cat"), ("train/cat/2.jpg", LEAVE_OUT), ("test/bee/0.jpg", "ant")]
    plain, found = read(root), corrected(root, *rows, suffix=suffix)
    expected = {**labels_of(plain), "train/ant/0.jpg": "bee", "test/bee/0.jpg": "ant"}
    del expected["train/cat/2.jpg"]
    assert labels_of(found) == expected
    assert found.remarks == (f"{root.parent}/right{suffix} corrects the labels of 2 images and leaves out 1",)
    assert (found.name, found.classes, found.templates) == (plain.name, plain.classes, plain.templates)


@pytest.mark.parametrize("column", ["sample_id", "path"])
@pytest.mark.parametrize("name", ["id", "path", "content"])
def test_an_image_is_named_by_its_id_its_path_or_its_bytes(root: Path, column: str, name: str) -> None:
    image = "train/ant/0.jpg"
    names = {"id": image, "path": str(root / image), "content": blake3((root / image).read_bytes()).hexdigest()}
    assert labels_of(corrected(root, (names[name], "bee"), column=column)) == {**labels_of(read(root)), image: "bee"}


def test_every_image_of_a_content_is_meant(root: Path) -> None:
    copies = ["train/ant/0.jpg", "train/ant/copy.jpg", "train/bee/other.jpg", "test/cat/again.jpg"]
    for name in copies:
        (root / name).write_bytes(b"one picture")
    found = labels_of(corrected(root, (blake3(b"one picture").hexdigest(), "cat")))
    assert {found[name] for name in copies} == {"cat"}
    assert {name for name, label in labels_of(read(root)).items() if found[name] != label} == set(copies[:3])


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_numbers_are_labels_where_no_class_is_called_by_one(root: Path, suffix: str) -> None:
    assert labels_of(corrected(root, ("train/ant/0.jpg", 2), suffix=suffix))["train/ant/0.jpg"] == "cat"


def test_a_number_is_the_class_of_that_name_and_never_another(tmp_path: Path) -> None:
    root = touch(tmp_path / "data", *(f"{split}/{name}/{number}.jpg" for split in (TRAIN, TEST) for name in "123" for number in range(2)))
    for word in ("1", "1.0"):
        assert labels_of(corrected(root, ("train/2/0.jpg", word)))["train/2/0.jpg"] == "1", "as pandas writes a column with empty cells"
    with pytest.raises(InputError, match="has label '0', which is no class of the data; write one of '1', '2', '3', or leave-out"):
        corrected(root, ("train/2/0.jpg", "0"))


def test_names_to_show_are_those_of_the_classes(root: Path) -> None:
    (root.parent / "names.txt").write_text("ant\tAmeise\nbee\tBiene\ncat\tKatze\n")
    found = corrected(root, ("train/ant/0.jpg", "Katze"), classes=str(root.parent / "names.txt"))
    assert labels_of(found)["train/ant/0.jpg"] == "Katze"


@pytest.mark.parametrize("write", [write_shards, write_tables])
def test_images_in_tars_and_tables_are_named_by_id_and_by_content_too(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    root = write(tmp_path / "data")
    plain = read(root)
    first, second, *_ = plain.split(TRAIN)
    assert isinstance(second.place, Member | Cell)
    other = plain.classes[(first.label + 1) % len(plain.classes)]
    found = corrected(root, (first.sample_id, other), (str(second.place.content), LEAVE_OUT))
    expected = {**labels_of(plain), first.sample_id: other}
    del expected[second.sample_id]
    assert labels_of(found) == expected


def test_an_id_with_spaces_at_its_ends_is_that_image(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,label,split\n odd.jpg,ant,train\nodd.jpg,ant,train\nbee.jpg,bee,train\ntest.jpg,bee,test\n")
    touch(tmp_path, " odd.jpg", "odd.jpg", "bee.jpg", "test.jpg")
    (tmp_path / "right.csv").write_text("sample_id,label\n odd.jpg,bee\n")
    found = labels_of(read(tmp_path / "t.csv", labels=str(tmp_path / "right.csv")))
    assert (found[" odd.jpg"], found["odd.jpg"]) == ("bee", "ant")


def test_images_that_few_are_kept_of_may_be_named(root: Path) -> None:
    """And as many are kept of each class as its right labels allow."""
    wrong = [(f"train/ant/{number}.jpg", "bee") for number in range(2)]
    found = corrected(root, *wrong, train_per_class=2)
    assert counts(found, TRAIN) == {0: 1, 1: 2, 2: 2}
    assert len(found.split(TEST)) == 9


def test_a_table_of_suspects_is_read_as_it_was_written(root: Path) -> None:
    """As `xmap sql label-suspects -o` writes it, with one label put right by hand."""
    rows = ["data,train,train/ant/0.jpg,bee,bee,3,-0.5", "data,test,test/cat/1.jpg,cat,ant,3,-0.1"]
    (root.parent / "suspects.csv").write_text("\n".join(["dataset,split,sample_id,label,predicted,runs,margin", *rows, ""]))
    found = read(root, labels=str(root.parent / "suspects.csv"))
    assert labels_of(found) == {**labels_of(read(root)), "train/ant/0.jpg": "bee"}
    assert found.remarks == (f"{root.parent}/suspects.csv corrects the labels of 1 image and leaves out 0",)


def test_saying_the_same_twice_is_no_mistake(root: Path) -> None:
    image = "train/ant/0.jpg"
    content = blake3((root / image).read_bytes()).hexdigest()
    assert labels_of(corrected(root, (image, "bee"), (image, "bee"), (content, "bee")))[image] == "bee"


def test_the_same_labels_change_nothing(root: Path) -> None:
    plain = read(root)
    found = corrected(root, *labels_of(plain).items())
    assert found.samples == plain.samples
    assert found.remarks[-1].endswith("corrects the labels of 0 images and leaves out 0")


IMAGE = "train/ant/0.jpg"
REFUSED: dict[str, tuple[list[Row], str]] = {
    "unknown image": ([("train/ant/9.jpg", "bee")], "row 2 names 'train/ant/9.jpg', which is no image of the data; give its sample id"),
    "unknown content": ([("0" * 64, "bee")], "give its sample id, as `xmap sql` shows it, or the path of a file that is there"),
    "unknown class": ([(IMAGE, "dog")], "row 2 has label 'dog', which is no class of the data; write one of 'ant', 'bee', 'cat', or leave"),
    "number of no class": ([(IMAGE, "3")], "row 2 has label '3', which is no class of the data"),
    "no label": ([(IMAGE, "bee"), ("train/ant/1.jpg", "")], "row 3 has label '', which is no class of the data (it says none)"),
    "two labels": ([(IMAGE, "bee"), (IMAGE, "cat")], f"row 3 gives '{IMAGE}' another label than row 2; keep one of them"),
    "label and left out": ([(IMAGE, "bee"), (IMAGE, LEAVE_OUT)], f"row 3 gives '{IMAGE}' another label than row 2; keep one of them"),
    "two by content": ([(IMAGE, "bee"), (blake3(IMAGE.encode()).hexdigest(), "cat")], f"row 3 gives '{IMAGE}' another label than row 2"),
    "all left out": ([(name, LEAVE_OUT) for name in IDS], "leaves images of one class or none"),
    "one class left": ([(name, "ant") for name in IDS], "with one class every answer is right; correct it"),
}


@pytest.mark.failure("wrong layout")
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_meant_is_refused_in_a_sentence(root: Path, name: str) -> None:
    rows, message = REFUSED[name]
    with pytest.raises(InputError) as caught:
        corrected(root, *rows)
    assert message in str(caught.value)
    assert f"{root.parent}/right.csv" in str(caught.value)


TABLES: dict[str, tuple[str, bytes | None, str]] = {
    "gone": (
        "gone.csv",
        None,
        "is no table that is there; give a table (.csv, .tsv, .parquet, .jsonl) with the columns sample_id",
    ),
    "a text": ("labels.txt", b"sample_id,label\n", "is no table that is there"),
    "an image": ("labels.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "cannot read the table"),
    "no Parquet": ("labels.parquet", b"PAR1 and no more", "cannot read the table"),
    "no JSON": ("labels.jsonl", b"{]\n", "line 1 is no JSON"),
    "no label": ("labels.csv", b"sample_id,predicted\ntrain/ant/0.jpg,bee\n", "has no column 'label' but sample_id, predicted"),
    "empty": ("labels.csv", b"", "is empty; give it a first row with column 'path' or 'content', 'label' and a row for each image."),
    "blank": ("labels.csv", b"\n", "labels.csv is empty; "),
}


@pytest.mark.failure("wrong layout")
@pytest.mark.parametrize("name", TABLES)
def test_what_is_no_table_is_refused_in_a_sentence(root: Path, name: str) -> None:
    file, data, message = TABLES[name]
    if data is not None:
        (root.parent / file).write_bytes(data)
    with pytest.raises(InputError) as caught:
        read(root, labels=str(root.parent / file))
    assert message in str(caught.value)


def test_a_folder_that_is_called_like_a_table_is_none(root: Path) -> None:
    (root.parent / "labels.csv").mkdir()
    with pytest.raises(InputError, match="is no table that is there"):
        read(root, labels=str(root.parent / "labels.csv"))


def test_a_class_called_leave_out_has_to_be_renamed(tmp_path: Path) -> None:
    root = touch(
        tmp_path / "data", *(f"{split}/{name}/{n}.jpg" for split in (TRAIN, TEST) for name in ("ant", LEAVE_OUT) for n in range(2))
    )
    with pytest.raises(InputError, match="a class is called 'leave-out', which in --labels means that an image is left out; rename it"):
        corrected(root, ("train/ant/1.jpg", LEAVE_OUT))


def test_a_name_that_two_classes_have_is_refused(tmp_path: Path) -> None:
    """ImageNet has two cranes: whichever was taken, it would be the wrong one half of the time."""
    table = tmp_path / "right.csv"
    plain = DataConfig(data="coop:imagenet", root=str(make_all(tmp_path / "benchmarks")))
    given = plain.model_copy(update={"labels": (str(table),)})
    bird = next(sample.sample_id for sample in open_dataset(plain).samples if sample.label == 1)
    as_csv(table, [(bird, "crane")])
    with pytest.raises(InputError, match="crane"):
        open_dataset(given)
    as_csv(table, [(bird, 2)])
    assert [sample.label for sample in open_dataset(given).samples if sample.sample_id == bird] == [2]


wanted = st.dictionaries(st.integers(0, 29), st.sampled_from((*CLASSES, LEAVE_OUT)), max_size=8)


@settings(max_examples=15)
@given(wanted=wanted, seed=st.integers(0, 9))
def test_splits_stay_where_they_are_drawn(tmp_path_factory: pytest.TempPathFactory, wanted: dict[int, str], seed: int) -> None:
    """Nobody's split changes with somebody's label: what was tested before a correction is tested after it."""
    folder = tmp_path_factory.getbasetemp() / "drawn"
    names = [f"{name}/{number}.jpg" for name in CLASSES for number in range(10)]
    if not folder.exists():
        touch(folder / "data", *names)
    plain = read(folder / "data", split_seed=seed)
    found = corrected(folder / "data", *((names[number], label) for number, label in wanted.items()), split_seed=seed)
    left_out = {names[number] for number, label in wanted.items() if label == LEAVE_OUT}
    splits = {sample.sample_id: sample.split for sample in plain.samples if sample.sample_id not in left_out}
    assert {sample.sample_id: sample.split for sample in found.samples} == splits
