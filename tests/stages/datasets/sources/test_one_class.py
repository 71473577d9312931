"""Data with one class, or with folders that are no classes, is refused with what may be meant: one class makes every answer right."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.worlds.datasets import read, touch
from tests.worlds.tars import write_tar
from xmap.store.errors import EmptyInput, InputError


@pytest.mark.promise
@pytest.mark.failure("wrong layout")
@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("PetImages/A/1.jpg", "PetImages/B/1.jpg"), "one class, 'PetImages', with all 2 images, and with one class every answer is right; "
         "the classes may be its folders 'A', 'B': give --data {root}/PetImages."),
        (("a/b/c/A/1.jpg", "a/b/c/B/1.jpg"), "its folders 'A', 'B': give --data {root}/a/b/c."),
        (("pets/train/A/1.jpg", "pets/test/A/1.jpg"), "its folders 'test', 'train': give --data {root}/pets."),
        (("pets/Train/1.jpg", "pets/Test/1.jpg"), "its folders 'Test', 'Train': give --data {root}/pets."),
        (("images/1.jpg", "images/2.jpg", "labels.csv"), "if {root}/labels.csv beside the images holds their labels, give it as --data"),
        (("images/1.jpg", "images/2.jpg", "labels.xlsx"), "if 'labels.xlsx' beside the images holds their labels, write it as a CSV table"),
        (("images/0-99/1.jpg", "images/100-199/2.jpg", "metadata.csv"), "give --data {root}/images, or if {root}/metadata.csv beside"),
        (("train/x/A/1.jpg", "train/x/B/1.jpg", "test/x/A/1.jpg"), "may be the folders 'A', 'B' in {root}/train/x: move them up, in each"),
        (("A/1.jpg", "A/2.jpg"), "one class, 'A', with all 2 images, and with one class every answer is right; add a folder of images for"),
        (("A/1.jpg", "A/deep/2.jpg"), "one class, 'A'"),
        (("train/A/1.jpg", "test/A/1.jpg"), "one class, 'A'"),
        (("images/1.jpg", "annotations/trimaps/1.png"), "has 'images' among its class folders, which sounds like a part of a"),
        (("Images/A/1.jpg", "Images/B/1.jpg", "thumbs/1.png"), "which sounds like a part of a data set and like no class; give --data "
         "{root}/Images if it holds the class folders"),
        (("images/1.jpg", "images/2.jpg", "metadata.jsonl"), "if {root}/metadata.jsonl beside the images holds their labels, give it as"),
        (("1.jpg", "2.jpg", "labels.csv"), "{root} has 2 images that lie in no class folder; if {root}/labels.csv beside the images holds"),
        (("1.jpg", "2.jpg", "3.jpg", "A/1.jpg", "B/1.jpg", "t.csv"), "has 3 images that lie in no class folder; if {root}/t.csv"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)  # fmt: skip
def test_one_class_is_refused_with_what_is_inside_or_beside(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError) as caught:
        read(touch(tmp_path / "pets", *names))
    assert message.format(root=tmp_path / "pets") in str(caught.value)


@pytest.mark.failure("wrong layout")
def test_one_class_is_refused_of_every_kind(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,label\n1.png,a\n2.png,a\n")
    pq.write_table(pa.table({"path": ["1.png", "2.png"], "label": ["a", "a"]}), tmp_path / "paths.parquet")
    pq.write_table(pa.table({"image": [b"1", b"2"], "label": [0, 0]}), tmp_path / "images.parquet")
    write_tar(tmp_path / "x.tar", [("1.png", b"1"), ("1.cls", b"a")])
    for name in ("t.csv", "paths.parquet", "images.parquet", "x.tar"):
        with pytest.raises(InputError, match=r"the data has one class, '[0a]', and with one class every answer is right"):
            read(tmp_path / name)


@pytest.mark.failure("wrong layout")
@pytest.mark.parametrize(
    ("table", "lines"),
    [
        ("labels.csv", ("file_name,label", "a1.jpg,cat", "a2.jpg,dog", "b1.jpg,dog")),
        ("labels.csv", ("path,label", "part_1/a1.jpg,cat", "part_1/a2.jpg,dog")),
        ("labels.csv", ("path;label", "a1;cat", "a2;dog", "b1;dog")),
        ("labels.tsv", ("filename\tclass", "./part_1/a1.jpg\tcat", "./part_1/a2.jpg\tdog")),
        ("metadata.jsonl", ('{"file_name": "part_1/a1.jpg", "label": 0}', '{"file_name": "part_1/a2.jpg", "label": 1}')),
    ],
)
def test_folders_whose_images_a_table_gives_several_labels_are_no_classes(tmp_path: Path, table: str, lines: tuple[str, ...]) -> None:
    touch(tmp_path, "part_1/a1.jpg", "part_1/a2.jpg", "part_2/b1.jpg")
    (tmp_path / table).write_text("\n".join(lines))
    with pytest.raises(InputError, match=rf"{table} gives the images of the folder 'part_1' several labels, .* the table as --data"):
        read(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["path,label\ncat/a.jpg,0\ncat/b.jpg,0\ndog/c.jpg,1\n", "path,label\n1.jpg,x\n2.jpg,y\n", "name,size\na.jpg,3\n", "\0", ""],
)
def test_a_table_that_agrees_with_the_folders_or_is_of_something_else_does_no_harm(tmp_path: Path, text: str) -> None:
    touch(tmp_path, "cat/a.jpg", "cat/b.jpg", "dog/c.jpg")
    (tmp_path / "index.csv").write_text(text)
    assert read(tmp_path).classes == ("cat", "dog")


def test_arrow_files_and_images_alone_are_named(tmp_path: Path) -> None:
    saved = touch(tmp_path / "saved", "train/data-00000-of-00001.arrow", "train/state.json", "test/data-00000-of-00001.arrow")
    with pytest.raises(InputError, match=r"holds a data set in Arrow files, .* `load_from_disk\(DIR\)\['train'\].to_parquet"):
        read(saved)
    with pytest.raises(InputError, match="Arrow files"):
        read(touch(tmp_path / "flat", "data-00000-of-00001.arrow", "dataset_info.json"))
    with pytest.raises(EmptyInput, match="found 2 images outside class folders"):
        read(touch(tmp_path / "alone", "1.jpg", "2.jpg"))


def test_a_file_beside_the_classes_is_counted_once(tmp_path: Path) -> None:
    found = read(touch(tmp_path, "A/1.jpg", "B/1.jpg", "labels.csv"))
    assert "1 file that is no image was left out: 1 .csv" in found.remarks
    found = read(touch(tmp_path / "x", "train/A/1.jpg", "train/B/1.jpg", "stray.jpg"))
    assert found.remarks == ("1 images that lie in no class folder were left out",)


@pytest.mark.failure("wrong layout")
@pytest.mark.parametrize("beside", ["models", "annotations/deep", "weights"])
def test_flat_split_folders_beside_folders_without_images_are_no_classes(tmp_path: Path, beside: str) -> None:
    touch(tmp_path, "train/1.jpg", "train/2.jpg", "test/1.jpg")
    (tmp_path / beside).mkdir(parents=True)
    with pytest.raises(InputError, match="holds images but no class folders"):
        read(tmp_path)
