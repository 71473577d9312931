"""Class folders of every shape, real ones: what becomes a sample, what is left out, and what is refused."""

from __future__ import annotations

import os
import random
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worlds.datasets import counts, read, touch
from xmap.stages.config import DataConfig
from xmap.stages.datasets.dataset import TEST, TRAIN, VAL
from xmap.stages.datasets.open import open_dataset
from xmap.stages.datasets.sources.folder import FolderSource
from xmap.store.errors import EmptyInput, InputError


def test_splits_in_folders_are_taken_as_they_are(tmp_path: Path) -> None:
    root = touch(tmp_path / "pets", "train/dog/b.jpg", "train/cat/a.PNG", "train/cat/deep/er/c.jpeg", "val/cat/v.jpg", "val/dog/v.webp")
    touch(root, "test/cat/t.tiff", "test/dog/t.gif")
    found = read(root)
    assert (found.name, found.classes) == ("pets", ("cat", "dog"))
    assert [sample.sample_id for sample in found.split(TRAIN)] == ["train/cat/a.PNG", "train/cat/deep/er/c.jpeg", "train/dog/b.jpg"]
    assert [(sample.sample_id, sample.label) for sample in found.split(TEST)] == [("test/cat/t.tiff", 0), ("test/dog/t.gif", 1)]
    assert len(found.split(VAL)) == 2
    assert all(sample.place.is_file() for sample in found.samples)
    assert found.remarks == ()


def test_class_folders_alone_are_split(tmp_path: Path) -> None:
    root = touch(tmp_path, *(f"{name}/{number}.jpg" for name in "ab" for number in range(10)))
    found = read(root)
    assert [counts(found, split) for split in (TRAIN, VAL, TEST)] == [{0: 5, 1: 5}, {0: 2, 1: 2}, {0: 3, 1: 3}]
    assert found.remarks == ("the data has no splits: drew 10 train, 4 val, 6 test with split_seed 1",)


def test_a_missing_val_split_stays_missing(tmp_path: Path) -> None:
    found = read(touch(tmp_path, "train/a/1.jpg", "test/a/1.jpg", "train/b/1.jpg", "test/b/1.jpg"))
    assert not len(found.split(VAL))


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    found = read(touch(tmp_path, "train/1.jpg", "car/1.jpg", "plane/1.jpg"))
    assert found.classes == ("car", "plane", "train")


@pytest.mark.promise
def test_class_order_never_depends_on_the_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = touch(tmp_path, *(f"{name}/{number}.jpg" for name in ("b", "a", "É", "Z", "10", "9") for number in range(3)))
    plain = read(root)
    real = os.scandir
    draw = random.Random(5)  # noqa: S311

    class Shuffled:
        def __init__(self, path: str | Path) -> None:
            with real(path) as listing:
                self.entries = list(listing)
            draw.shuffle(self.entries)

        def __enter__(self) -> Iterator[os.DirEntry[str]]:
            return iter(self.entries)

        def __exit__(self, *error: object) -> None:
            return None

    for _ in range(3):
        monkeypatch.setattr(os, "scandir", Shuffled)
        assert read(root) == plain
    assert plain.classes == ("10", "9", "Z", "a", "b", "É")


def test_ids_are_nfc_and_paths_open_the_file(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "café/é.jpg")
    found = read(touch(tmp_path, f"train/{decomposed}", f"test/{decomposed}", "train/a/1.jpg", "test/a/1.jpg"))
    assert found.classes == ("a", "café")
    assert [sample.sample_id for sample in found.samples if sample.label] == ["train/café/é.jpg", "test/café/é.jpg"]
    assert found.samples[1].place.is_file()


@pytest.mark.parametrize("names", [("é/1.jpg", "{}/1.jpg"), ("a/é.jpg", "a/{}.jpg")])
def test_names_that_are_one_after_normalisation_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    touch(tmp_path, names[0], names[1].format(unicodedata.normalize("NFD", "é")), "b/1.jpg")
    with pytest.raises(InputError, match="after Unicode normalisation; rename"):
        read(tmp_path)


@pytest.mark.parametrize(
    "name", ["with space", "it's", 'quo"te', "st*r[x]?", "semi;colon", "new\nline", "\U0001f600", "שלום", "-dash", "x" * 240]
)
def test_strange_names_work(tmp_path: Path, name: str) -> None:
    found = read(touch(tmp_path, f"{name}/{name}.jpg", "plain/1.jpg"))
    assert set(found.classes) == {name, "plain"}
    assert f"{name}/{name}.jpg" in [sample.sample_id for sample in found.samples]


def test_a_name_that_is_no_utf8_is_left_out_with_its_repr(tmp_path: Path) -> None:
    touch(tmp_path, "a/good.jpg", "b/good.jpg")
    (tmp_path / "a" / os.fsdecode(b"bad\xff.jpg")).write_bytes(b"x")
    (tmp_path / os.fsdecode(b"cl\xfe")).mkdir()
    found = read(tmp_path)
    assert [sample.sample_id for sample in found.samples] == ["a/good.jpg", "b/good.jpg"]
    (remark,) = (line for line in found.remarks if "UTF-8" in line)
    assert r"b'a/bad\xff.jpg'" in remark
    assert r"b'cl\xfe'" in remark


def test_what_looks_like_an_image_stays_a_sample_and_no_pipe_is_waited_for(tmp_path: Path) -> None:
    touch(tmp_path, "a/real.jpg", "b/real.jpg")
    os.mkfifo(tmp_path / "a" / "pipe.jpg")
    (tmp_path / "a" / "broken.png").symlink_to("nowhere")
    (tmp_path / "a" / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "a" / "folder.jpg").mkdir()
    touch(tmp_path, "a/folder.jpg/inside.jpg")
    ids = [sample.sample_id for sample in read(tmp_path).samples]
    assert sorted(ids) == ["a/broken.png", "a/folder.jpg/inside.jpg", "a/loop.jpg", "a/pipe.jpg", "a/real.jpg", "b/real.jpg"]


def test_links_to_folders_are_followed_but_not_round_in_circles(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", "1.jpg")
    root = touch(tmp_path / "data", "a/2.jpg")
    (root / "b").symlink_to(tmp_path / "elsewhere")
    (root / "a" / "up").symlink_to(root / "a")
    found = read(root)
    assert sorted(sample.sample_id for sample in found.samples) == ["a/2.jpg", "b/1.jpg"]
    assert any("links back" in line and "'a/up'" in line for line in found.remarks)


def test_other_files_are_counted_and_hidden_ones_are_not(tmp_path: Path) -> None:
    found = read(touch(tmp_path, "a/1.jpg", "a/notes.txt", "a/b.TXT", "a/LICENSE", "a/.hidden.jpg", ".git/x.jpg", "stray.jpg", "b/1.jpg"))
    assert len(found.samples) == 2
    assert "3 files that are not images were left out: 2 .txt, 1 no suffix" in found.remarks
    assert "1 images that lie in no class folder were left out" in found.remarks


def test_an_empty_class_is_dropped_and_named(tmp_path: Path) -> None:
    root = touch(tmp_path, "train/a/1.jpg", "test/a/1.jpg", "train/b/1.jpg", "test/b/1.jpg")
    (root / "train" / "ghost").mkdir()
    found = read(root)
    assert found.classes == ("a", "b")
    assert found.remarks == ("1 empty class folders were left out: 'ghost'",)


def test_splits_of_different_classes_are_refused_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "train/c/1.jpg", "val/b/1.jpg", "test/a/1.jpg", "test/b/1.jpg", "test/d/1.jpg")
    with pytest.raises(InputError, match="train lacks 'd'; val lacks 'a', 'c', 'd'; test lacks 'c'") as caught:
        read(tmp_path)
    assert "same class folders" in str(caught.value)


def test_a_class_without_training_images_is_refused_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.jpg", "test/a/1.jpg", "test/b/1.jpg")
    (tmp_path / "train" / "b").mkdir()
    with pytest.raises(InputError, match="no training image of 'b'"):
        read(tmp_path)


def test_a_class_without_test_images_is_a_remark(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "test/a/1.jpg")
    (tmp_path / "test" / "b").mkdir()
    assert read(tmp_path).remarks == ("test has no image of 'b'",)


def test_names_that_differ_by_case_alone_are_two_classes_and_a_remark(tmp_path: Path) -> None:
    found = read(touch(tmp_path, "Cat/1.jpg", "cat/1.jpg"))
    assert found.classes == ("Cat", "cat")
    assert any("differ by case alone: 'Cat', 'cat'" in line for line in found.remarks)


@pytest.mark.parametrize(
    ("names", "found"),
    [((), "no files"), (tuple(f"a/{n}.mov" for n in range(14)), "14 .mov"), (("1.jpg",), "1 images outside class folders")],
)
def test_no_images_say_what_was_found_instead(tmp_path: Path, names: tuple[str, ...], found: str) -> None:
    touch(tmp_path, *names)
    with pytest.raises(EmptyInput) as caught:
        read(tmp_path)
    assert caught.value.found == found
    assert ".jpg" in caught.value.looked_for


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("test/a/1.jpg", "val/a/1.jpg"), "no train folder"),
        (("train/a/1.jpg", "bird/1.jpg"), "beside them 'bird' with images"),
        (("train/1.jpg", "test/1.jpg"), "no class folders"),
    ],
)
def test_folders_that_could_mean_two_things_are_refused(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    touch(tmp_path, *names)
    with pytest.raises(InputError, match=message):
        read(tmp_path)


def test_folders_without_images_beside_the_splits_do_no_harm(tmp_path: Path) -> None:
    names = ("train/a/1.jpg", "test/a/1.jpg", "train/b/1.jpg", "test/b/1.jpg", "annotations/a.xml")
    assert read(touch(tmp_path, *names)).classes == ("a", "b")


def test_a_folder_that_cannot_be_listed_is_named(unprivileged: Path) -> None:
    touch(unprivileged, "a/1.jpg")
    (unprivileged / "a").chmod(0)
    try:
        with pytest.raises(InputError, match=r"cannot list .*/a"):
            read(unprivileged)
    finally:
        (unprivileged / "a").chmod(0o700)


def test_display_names_go_to_classes_in_order(tmp_path: Path) -> None:
    root = touch(tmp_path / "data", "10/1.jpg", "9/1.jpg")
    (tmp_path / "names.txt").write_text("\ufeffnine\n\nten\n", encoding="utf-8")
    found = read(root, classes=str(tmp_path / "names.txt"))
    assert found.classes == ("nine", "ten")
    assert {sample.sample_id: sample.label for sample in found.samples} == {"9/1.jpg": 0, "10/1.jpg": 1}


@pytest.mark.parametrize(
    ("data", "message"), [("", "no data is given"), ("/nowhere/at/all", "does not exist"), ("a.zip", "neither a folder nor")]
)
def test_what_is_no_data_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.zip").write_bytes(b"x")
    with pytest.raises(InputError, match=message):
        open_dataset(DataConfig(data=data))


def test_the_name_is_the_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = touch(tmp_path / "pets.v2", "a/1.jpg", "b/1.jpg")
    monkeypatch.chdir(root)
    assert read(Path()).name == "pets.v2"
    assert not FolderSource().matches(root / "a" / "1.jpg")
