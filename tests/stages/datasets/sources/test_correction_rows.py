"""Which images the rows of a table of corrections mean: of this data set, by id and by content, as a spreadsheet left them."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from blake3 import blake3

from tests.worlds.datasets import read, touch
from xmap.stages.datasets.dataset import TEST, TRAIN, Dataset
from xmap.stages.datasets.sources.corrections import LEAVE_OUT, words_of
from xmap.store.errors import InputError

CLASSES = ("ant", "bee", "cat")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return touch(tmp_path / "data", *(f"{split}/{name}/{number}.jpg" for split in (TRAIN, TEST) for name in CLASSES for number in range(3)))


def labels_of(found: Dataset) -> dict[str, str]:
    return {sample.sample_id: found.classes[sample.label] for sample in found.samples}


def test_rows_of_other_data_sets_are_passed_over(root: Path) -> None:
    """The suspects of a store with several: an image of that name may be here too."""
    rows = ["data,train/ant/0.jpg,bee", "cars,train/ant/1.jpg,cat", "cars,9.jpg,lorry", "=x,9.jpg,lorry", ",train/ant/2.jpg,cat"]
    table = root.parent / "suspects.csv"
    table.write_text("\n".join(["dataset,sample_id,label", *rows, ""]))
    found = read(root, labels=str(table))
    assert labels_of(found) == {**labels_of(read(root)), "train/ant/0.jpg": "bee", "train/ant/2.jpg": "cat"}
    assert found.remarks[-1].endswith("of 2 images and leaves out 0; its rows of other data sets were passed over: 'cars', '=x'")
    table.write_text("\n".join(["dataset,sample_id,label", *rows[1:3], ""]))
    with pytest.raises(InputError, match=r"has rows of 'cars' alone, and this data set is called 'data'; .* remove the column 'dataset'"):
        read(root, labels=str(table))


def test_a_column_of_splits_is_no_name_of_a_data_set(root: Path) -> None:
    (root.parent / "right.csv").write_text("dataset,sample_id,label\ntrain,train/ant/0.jpg,bee\ntest,test/ant/0.jpg,cat\n")
    found = labels_of(read(root, labels=str(root.parent / "right.csv")))
    assert (found["train/ant/0.jpg"], found["test/ant/0.jpg"]) == ("bee", "cat")


def test_an_image_that_was_renamed_is_met_by_its_content(root: Path) -> None:
    """And one of several with these bytes by its id; an id that other bytes have by now is not corrected."""
    rows = [("train/ant/0.jpg", "bee"), ("train/ant/1.jpg", "cat"), ("", "cat")]
    contents = [blake3((root / name).read_bytes()).hexdigest() for name in ("train/ant/0.jpg", "train/ant/1.jpg", "train/bee/0.jpg")]
    lines = [f"{name},{content},{label}" for (name, label), content in zip(rows, contents, strict=True)]
    table = root.parent / "right.csv"
    table.write_text("\n".join(["sample_id,content,label", *lines, ""]))
    (root / "train/ant/0.jpg").rename(root / "train/ant/new.jpg")
    (root / "train/bee/twin.jpg").write_bytes((root / "train/ant/1.jpg").read_bytes())
    found = labels_of(read(root, labels=str(table)))
    names = ("train/ant/new.jpg", "train/ant/1.jpg", "train/bee/twin.jpg", "train/bee/0.jpg")
    assert [found[name] for name in names] == ["bee", "cat", "bee", "cat"]
    (root / "train/ant/0.jpg").write_bytes(b"another picture")
    assert labels_of(read(root, labels=str(table)))["train/ant/new.jpg"] == "bee"
    (root / "train/ant/new.jpg").unlink()
    with pytest.raises(InputError, match=r"row 2 names 'train/ant/0.jpg', which has other bytes now than its content says; remove"):
        read(root, labels=str(table))


@pytest.mark.parametrize("column", ["content", "blake3"])
def test_contents_alone_name_images(root: Path, column: str) -> None:
    content = blake3((root / "train/ant/0.jpg").read_bytes()).hexdigest().upper()
    (root.parent / "right.csv").write_text(f"{column},label\n{content},bee\n")
    assert labels_of(read(root, labels=str(root.parent / "right.csv"))) == {**labels_of(read(root)), "train/ant/0.jpg": "bee"}


def test_what_a_spreadsheet_would_calculate_is_read_as_it_was(tmp_path: Path) -> None:
    """`xmap sql -o FILE.csv` writes an apostrophe before it."""
    names = ("=a.jpg", "-b.jpg", "'=c.jpg", "d.jpg")
    (tmp_path / "-t.csv").write_text("path,label,split\n" + "".join(f"{name},{label},train\n" for name in names for label in ["-1"]))
    with (tmp_path / "-t.csv").open("a") as file:
        file.write("e.jpg,bee,train\nf.jpg,bee,test\n")
    touch(tmp_path, *names, "e.jpg", "f.jpg")
    rows = ["'-t,'=a.jpg,bee", "'-t,'-b.jpg,bee", "'-t,'=c.jpg,bee", "'-t,e.jpg,'-1"]
    (tmp_path / "right.csv").write_text("\n".join(["dataset,sample_id,label", *rows, ""]))
    found = labels_of(read(tmp_path / "-t.csv", labels=str(tmp_path / "right.csv")))
    assert found == {"=a.jpg": "bee", "-b.jpg": "bee", "'=c.jpg": "bee", "d.jpg": "-1", "e.jpg": "-1", "f.jpg": "bee"}


def test_each_class_has_a_word_that_is_read_as_it() -> None:
    assert words_of(CLASSES) == list(CLASSES)
    assert words_of(("crane", "bee", "crane", "nan", " x")) == ["0", "bee", "2", "3", "4"]
    assert words_of(("7", "bee", "bee")) == ["7", "", ""]
    assert words_of(("ant", LEAVE_OUT)) == ["", ""], "such a data set takes no corrections"


@pytest.mark.parametrize("by", ["sample_id", "path"])
def test_names_are_met_in_every_unicode_form(tmp_path: Path, by: str) -> None:
    """A Mac's file lists are decomposed; ids are composed, and look the same."""
    root = touch(tmp_path / "data", *(f"{name}/{unicodedata.normalize('NFD', 'é')}.jpg" for name in CLASSES))
    for form in ("NFC", "NFD"):
        name = unicodedata.normalize(form, f"{root}/ant/é.jpg" if by == "path" else "ant/é.jpg")
        (tmp_path / "right.csv").write_text(f"{by},label\n{name},bee\n")
        assert labels_of(read(root, labels=str(tmp_path / "right.csv")))[unicodedata.normalize("NFC", "ant/é.jpg")] == "bee"
