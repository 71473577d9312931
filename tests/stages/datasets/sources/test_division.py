"""Where splits lie: folders, files and columns under every usual name; and layouts that mean two things, which are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.worlds.datasets import read, touch
from tests.worlds.s3 import Bucket
from tests.worlds.tars import write_tar
from xmap.stages.datasets.dataset import TEST, TRAIN, VAL, Dataset
from xmap.stages.datasets.splits.names import is_split, meanings, split_inside
from xmap.store.errors import InputError

CLASSES = ("A", "B", "C")
NAMED = [
    (("Train", "Test"), {"Train": TRAIN, "Test": TEST}),
    (("TRAIN", "VAL", "TEST"), {"TRAIN": TRAIN, "VAL": VAL, "TEST": TEST}),
    (("training", "validation", "testing"), {"training": TRAIN, "validation": VAL, "testing": TEST}),
    (("Training", "Validation"), {"Training": TRAIN, "Validation": VAL}),
    (("train", "valid", "test"), {"train": TRAIN, "valid": VAL, "test": TEST}),
    (("train", "dev", "test"), {"train": TRAIN, "dev": VAL, "test": TEST}),
    (("train", "eval"), {"train": TRAIN, "eval": TEST}),
    (("train", "eval", "test"), {"train": TRAIN, "eval": VAL, "test": TEST}),
    (("trainset", "valset", "testset"), {"trainset": TRAIN, "valset": VAL, "testset": TEST}),
]
TOGETHER = [
    (("training_set", "test_set"), {"training_set": TRAIN, "test_set": TEST}),
    (("cars_train", "cars_test"), {"cars_train": TRAIN, "cars_test": TEST}),
    (("TrainImages", "ValImages", "TestImages"), {"TrainImages": TRAIN, "ValImages": VAL, "TestImages": TEST}),
    (("train2017", "val2017"), {"train2017": TRAIN, "val2017": VAL}),
]


def lay(root: Path, form: str, splits: tuple[str, ...]) -> Path:
    """An image of each class in each split, at `form`."""
    return touch(root, *(form.format(split=split, key=key) for split in splits for key in CLASSES))


def check(found: Dataset, said: dict[str, str]) -> None:
    """Each image is in the split that its path says, and the classes are the classes."""
    assert found.classes == CLASSES
    for sample in found.samples:
        assert sample.split == next(split for name, split in said.items() if name in sample.sample_id)
    assert not any(remark.startswith("the data has no splits") for remark in found.remarks)
    others = [name for name, split in said.items() if name != split]
    assert all(any(repr(name) in remark and "as" in remark for remark in found.remarks) for name in others), found.remarks
    assert sum("read " in remark for remark in found.remarks) <= 2


@pytest.mark.failure("wrong layout")
@pytest.mark.parametrize(("splits", "said"), [*NAMED, *TOGETHER])
def test_split_folders_under_other_names_are_splits(tmp_path: Path, splits: tuple[str, ...], said: dict[str, str]) -> None:
    found = read(lay(tmp_path, "{split}/{key}/1.jpg", splits))
    check(found, said)
    assert len(found.remarks) == 1


@pytest.mark.failure("wrong layout")
@pytest.mark.parametrize(("splits", "said"), NAMED)
def test_splits_inside_the_classes_are_splits(tmp_path: Path, splits: tuple[str, ...], said: dict[str, str]) -> None:
    check(read(lay(tmp_path, "{key}/{split}/1.jpg", splits)), said)


@pytest.mark.failure("wrong layout")
@pytest.mark.parametrize(("splits", "said"), TOGETHER)
def test_splits_inside_the_classes_and_in_paths_may_be_parts_of_names(
    tmp_path: Path, splits: tuple[str, ...], said: dict[str, str]
) -> None:
    check(read(lay(tmp_path / "x", "{key}/{split}/1.jpg", splits)), said)
    rows = [f"{split}/{key}-{number}.png,{key}" for split in splits for key in CLASSES for number in range(3)]
    (tmp_path / "t.csv").write_text("\n".join(["path,label", *rows]))
    check(read(tmp_path / "t.csv"), said)


@pytest.mark.failure("wrong layout")
@pytest.mark.parametrize("column", ["set", "phase", "Usage", "data_set", "dataset split", "Partition"])
def test_other_columns_that_hold_only_splits_say_them(tmp_path: Path, column: str) -> None:
    said = {"Train": TRAIN, "valid": VAL, "Test": TEST}
    rows = [(f"{split}-{key}.png", key, split) for split in said for key in CLASSES]
    (tmp_path / "t.csv").write_text("\n".join([f"path,label,{column}", *map(",".join, rows)]))
    check(read(tmp_path / "t.csv"), said)
    table = {"image": [path.encode() for path, _, _ in rows], "label": [key for _, key, _ in rows], column: [split for *_, split in rows]}
    pq.write_table(pa.table(table), tmp_path / "images.parquet")
    assert [sample.split for sample in sorted(read(tmp_path / "images.parquet").samples, key=lambda sample: sample.sample_id)] == [
        said[split] for *_, split in rows
    ]
    (tmp_path / "u.csv").write_text(f"path,label,{column}\n1.png,A,Training\n2.png,B,PublicTest\n3.png,A,PrivateTest\n")
    with pytest.raises(InputError, match="row 3 has split 'PublicTest'; write one of train, val, test"):
        read(tmp_path / "u.csv")
    (tmp_path / "w.csv").write_text(f"path,label,{column}\n1.png,A,train_1\n2.png,B,train_1\n3.png,A,val_1\n")
    with pytest.raises(InputError, match="row 2 has split 'train_1'; write one of train, val, test"):
        read(tmp_path / "w.csv")
    (tmp_path / "v.csv").write_text(f"path,label,{column}\n1.png,A,birds\n2.png,B,train\n3.png,A,birds\n")
    remarks = read(tmp_path / "v.csv").remarks
    assert any(remark.startswith("the data has no splits") for remark in remarks)
    assert not any("as the split was read" in remark for remark in remarks)


@pytest.mark.failure("wrong layout")
@pytest.mark.parametrize("column", ["is_train", "Is Training", "is_training_image", "fold", "is_test"])
def test_columns_that_divide_in_numbers_are_named(tmp_path: Path, column: str) -> None:
    rows = [(f"{number}.png", "AB"[number % 2], number % 3 == 0) for number in range(6)]
    (tmp_path / "t.csv").write_text("\n".join([f"path,label,{column}", *(f"{path},{key},{int(flag)}" for path, key, flag in rows)]))
    table = {"path": [path for path, _, _ in rows], "label": [key for _, key, _ in rows], column: [flag for _, _, flag in rows]}
    pq.write_table(pa.table(table), tmp_path / "t.parquet")
    (tmp_path / "t.jsonl").write_text("\n".join(json.dumps({"path": path, "label": key, column: flag}) for path, key, flag in rows))
    for name in ("t.csv", "t.parquet", "t.jsonl"):
        assert any(f"column {column!r} was not read: if it divides" in remark for remark in read(tmp_path / name).remarks)


@pytest.mark.failure("wrong layout")
@pytest.mark.parametrize("value", ["Train", "valid", "TESTING", "fold1", 3])
def test_the_json_of_a_sample_says_its_split(tmp_path: Path, value: object) -> None:
    facts = {"A": "train", "B": "train", "C": value}
    members = [
        (f"{key}{end}", json.dumps({"label": key[0], "split": split}).encode()) for key, split in facts.items() for end in (".png", ".json")
    ]
    members += [(f"{key}2{end}", json.dumps({"label": key, "split": "train"}).encode()) for key in "ABC" for end in (".png", ".json")]
    write_tar(tmp_path / "pets.tar", members)
    if value in ("fold1", 3):
        with pytest.raises(InputError, match=r"'C.json' has split .*; write one of train, val, test"):
            read(tmp_path / "pets.tar")
        return
    found = {sample.sample_id: sample.split for sample in read(tmp_path / "pets.tar").samples}
    assert found["pets.tar/C.png"] == {"Train": TRAIN, "valid": VAL, "TESTING": TEST}[str(value)]
    write_tar(tmp_path / "pets.tar", [*members, ("D.png", b"x"), ("D.cls", b"A")])
    with pytest.raises(InputError, match=r"some images have a split and others, such as 'pets.tar/D.png', have none"):
        read(tmp_path / "pets.tar")


@pytest.mark.failure("wrong layout")
@pytest.mark.parametrize(
    ("form", "said"),
    [("{place}/{key}/1.jpg", True), ("{place}/more/{key}/1.jpg", False), ("{key}/{place}/1.jpg", True), ("{place}/{key}1.jpg", False)],
)
@pytest.mark.parametrize("places", [("2023", "2024"), ("fold0", "fold1"), ("pets", "cars")])
def test_folders_that_may_be_the_classes_inside_class_folders_are_said(
    tmp_path: Path, places: tuple[str, str], form: str, said: bool
) -> None:
    touch(tmp_path, *(form.format(place=place, key=key) for place in places for key in CLASSES))
    assert any("if these are the classes, move them up" in remark for remark in read(tmp_path).remarks) == said


@pytest.mark.failure("wrong layout")
@pytest.mark.parametrize("form", ["{}_000.tar", "pets_{}_000.tar", "Pets-{}.tar", "{}/000.tar", "pets.{}.000.tar", "{}_shards/000.tar"])
@pytest.mark.parametrize(("splits", "said"), NAMED)
def test_names_and_folders_of_tars_say_the_split(tmp_path: Path, form: str, splits: tuple[str, ...], said: dict[str, str]) -> None:
    for split in splits:
        write_tar(tmp_path / form.format(split), [(f"{key}{end}", key.encode()) for key in CLASSES for end in (".png", ".cls")])
    shown = form not in ("{}_000.tar", "{}/000.tar")
    check(read(tmp_path), {form.format(name).partition("/")[0] if shown else name: split for name, split in said.items()})


@pytest.mark.failure("wrong layout")
@pytest.mark.parametrize(("splits", "said"), NAMED)
def test_names_of_parquet_files_and_columns_say_the_split(tmp_path: Path, splits: tuple[str, ...], said: dict[str, str]) -> None:
    images = [key.encode() for key in CLASSES]
    (tmp_path / "x").mkdir()
    for split in splits:
        pq.write_table(pa.table({"image": images, "label": CLASSES}), tmp_path / "x" / f"{split}-00000-of-00001.parquet")
    check(read(tmp_path / "x"), said)
    rows = [(f"{split}/{key}.png", key, split) for split in splits for key in CLASSES]
    for name, first in (("paths", [path for path, _, _ in rows]), ("images", [path.encode() for path, _, _ in rows])):
        column = "path" if name == "paths" else "image"
        table = pa.table({column: first, "label": [key for _, key, _ in rows], "split": [split for _, _, split in rows]})
        pq.write_table(table, tmp_path / f"{name}.parquet")
    check(read(tmp_path / "paths.parquet"), said)
    found = read(tmp_path / "images.parquet")
    assert [sample.split for sample in sorted(found.samples, key=lambda sample: sample.sample_id)] == [said[split] for _, _, split in rows]
    (tmp_path / "t.csv").write_text("\n".join(["path,label,split", *map(",".join, rows)]))
    check(read(tmp_path / "t.csv"), said)


@pytest.mark.failure("wrong layout")
@pytest.mark.parametrize("form", ["{split}/{key}/1.png", "{key}/{split}/1.png", "test/photos/{key}/deep/{split}/1.png"])
@pytest.mark.parametrize(("splits", "said"), NAMED[:6])
def test_folders_in_paths_and_members_say_the_split(tmp_path: Path, form: str, splits: tuple[str, ...], said: dict[str, str]) -> None:
    rows = [(form.format(split=split, key=key), key) for split in splits for key in CLASSES]
    (tmp_path / "t.csv").write_text("\n".join(["path,label", *map(",".join, rows)]))
    write_tar(tmp_path / "pets.tar", [(path.replace(".png", end), key.encode()) for path, key in rows for end in (".png", ".cls")])
    for name in ("t.csv", "pets.tar"):
        found = read(tmp_path / name)
        assert {sample.sample_id.removeprefix("pets.tar/"): sample.split for sample in found.samples} == {
            form.format(split=split, key=key): said[split] for split in splits for key in CLASSES
        }
        assert any("in the paths as splits" in remark for remark in found.remarks)
    with (tmp_path / "t.csv").open("a") as file:
        file.write(f"\n{form.format(split='more', key='A')},A")
    with pytest.raises(InputError, match=r"lie in the split folders .* in none; put every image"):
        read(tmp_path / "t.csv")


@pytest.mark.parametrize("paths", [("train/1.png", "train/2.png"), ("test/a/1.png", "test/b/2.png"), ("a/train/1.png", "b/2.png")])
def test_one_split_folder_in_paths_says_nothing(tmp_path: Path, paths: tuple[str, str]) -> None:
    (tmp_path / "t.csv").write_text(f"path,label\n{paths[0]},a\n{paths[1]},b\n")
    assert any(remark.startswith("the data has no splits") for remark in read(tmp_path / "t.csv").remarks)


@pytest.mark.failure("wrong layout")
@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("train/A/1.jpg", "test/A/1.jpg", "A/1.jpg", "B/1.jpg"), "has split folders 'test', 'train' and beside them 'A', 'B' with images"),
        (("Train/A/1.jpg", "Test/A/1.jpg", "B/1.jpg"), "has split folders 'Test', 'Train' and beside them 'B'"),
        (("seg_train/A/1.jpg", "seg_test/A/1.jpg", "seg_pred/1.jpg"), "beside them 'seg_pred' with images"),
        (("trainval/A/1.jpg", "test/A/1.jpg"), "beside them 'trainval' with images"),
        (("valid/A/1.jpg", "validation/A/1.jpg", "train/A/1.jpg"), "'valid' and 'validation', which both mean val; merge them, or rename"),
        (("Train/A/1.jpg", "train/A/1.jpg", "test/A/1.jpg"), "'Train' and 'train', which both mean train"),
        (("Train/1.jpg", "Test/1.jpg"), "Test holds images but no class folders; put them in Test/CLASS/"),
        (("train_images/1.jpg", "test_images/1.jpg"), "test_images holds images but no class folders"),
        (("training/A/1.jpg", "training/B/1.jpg", "validation/A/1.jpg"), "val lacks 'B'"),
        (
            ("Train/A/1.jpg", "Train/B/1.jpg", "Test/1.jpg"),
            "Test holds images but no class folders; put them in Test/CLASS/, or move it out",
        ),
        (("validation/A/1.jpg", "testing/A/1.jpg"), "no train folder"),
        (("A/train/1.jpg", "A/test/1.jpg", "B/1.jpg"), "the split folders 'test', 'train' inside, and 'B/1.jpg' lies in none of them"),
        (("A/train/1.jpg", "A/test/1.jpg", "A/2.jpg", "B/train/1.jpg"), "'A/2.jpg' lies in none of them; put every image"),
        (("A/train/1.jpg", "A/test/1.jpg", "B/test/1.jpg"), "no training image of 'B'"),
        (("A/val/1.jpg", "A/test/1.jpg", "B/test/1.jpg"), "no train folder"),
        (
            ("A/images/train/1.jpg", "A/images/test/1.jpg", "B/1.jpg"),
            "deep inside its classes, such as 'A/images/test', 'A/images/train'; move",
        ),
        (("A/x/Train/1.jpg", "B/x/y/valid/1.jpg", "B/x/y/train/1.jpg"), "deep inside its classes, such as 'B/x/y/train', 'B/x/y/valid'"),
        (("pets/train/A/1.jpg", "pets/test/A/1.jpg", "cars/train/A/1.jpg", "cars/test/A/1.jpg"), "data set of its own"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_layouts_that_mean_two_things_are_refused(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError) as caught:
        read(touch(tmp_path, *names))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "names",
    [
        ("train/1.jpg", "car/1.jpg", "plane/1.jpg"),
        ("test_tube/1.jpg", "train_station/1.jpg", "bus/1.jpg"),
        ("dev board/a/1.jpg", "bus/1.jpg", "shoe/a/1.jpg"),
        ("vehicle/train/1.jpg", "vehicle/car/1.jpg", "animal/cat/1.jpg"),
        ("latest/a/1.jpg", "contest/a/1.jpg"),
    ],
)
def test_classes_that_sound_like_splits_are_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    found = read(touch(tmp_path, *names))
    assert found.classes == tuple(sorted({name.split("/")[0] for name in names}))


def test_words_of_splits() -> None:
    assert [split_inside(name) for name in ("pets_train_000.tar", "PetsTrain", "train-test", "a_train_test", "trainval", "latest.tar")] == [
        "train", "Train", "train", "", "", ""
    ]  # fmt: skip
    assert meanings(["eval", "Train"]) == {"eval": TEST, "Train": TRAIN}
    assert is_split(" Dev ")
    assert not is_split("")


def test_tars_of_which_some_say_no_split_are_refused(tmp_path: Path) -> None:
    for name in ("pets_trainval_0", "pets_test_0"):
        write_tar(tmp_path / f"{name}.tar", [("a.png", b"x"), ("a.cls", b"a")])
    with pytest.raises(InputError, match=r"others do not, such as 'pets_trainval_0.tar'"):
        read(tmp_path)


@pytest.mark.failure("wrong layout")
def test_folders_at_a_url_are_divided_and_refused_alike(bucket: Bucket, tmp_path: Path) -> None:
    check(
        read(bucket.put(lay(tmp_path / "a", "{split}/{key}/1.jpg", ("Train", "valid", "Test")))),
        {"Train": TRAIN, "valid": VAL, "Test": TEST},
    )
    check(read(bucket.put(lay(tmp_path / "b", "{key}/{split}/1.jpg", ("Train", "Test")))), {"Train": TRAIN, "Test": TEST})
    wrapped = bucket.put(touch(tmp_path / "c", "pets/A/1.jpg", "pets/B/1.jpg"))
    with pytest.raises(InputError, match=r"folders 'A', 'B': give --data s3://.*/pets\."):
        read(wrapped)
    beside = bucket.put(touch(tmp_path / "d", "images/1.jpg", "labels.csv"))
    with pytest.raises(InputError, match=r"if s3://.*/labels.csv beside the images holds their labels"):
        read(beside)


@pytest.mark.failure("odd label")
@pytest.mark.parametrize("column", ["split", "subset", "phase"])
def test_an_empty_cell_among_splits_is_refused_with_its_row(tmp_path: Path, column: str) -> None:
    rows = [(f"{split}-{key}.png", key, split) for split in ("train", "test") for key in CLASSES]
    rows[-1] = (*rows[-1][:2], "")
    (tmp_path / "t.csv").write_text("\n".join([f"path,label,{column}", *map(",".join, rows)]))
    with pytest.raises(InputError, match=f"row {len(rows) + 1} has"):
        read(tmp_path / "t.csv")
