"""What a NAS, a phone or a desktop leaves behind is never a class or an image; pictures that are not read are never left out in silence."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from tests.worlds.datasets import read, touch
from tests.worlds.pixels import loaded
from xmap.pipeline.adapters.given_images import image_paths
from xmap.stages.datasets.places.pictures import UNREAD, is_left_behind
from xmap.stages.images.decode import BadImage
from xmap.stages.images.read import read_place
from xmap.stages.workplace.progress import Silent
from xmap.store.errors import InputError

FOLDERS = (
    "@eaDir", "@EADIR", "#recycle", "@Recycle", "#snapshot", "$RECYCLE.BIN", "$Recycle.Bin", "System Volume Information", ".Trash",
    ".Trash-1000", ".Trashes", ".Spotlight-V100", ".fseventsd", "__MACOSX", ".AppleDouble", ".git", ".ipynb_checkpoints", ".thumbnails",
    ".@__thumb", "lost+found", "LOST.DIR", "found.000", "Network Trash Folder", "Temporary Items", "__pycache__", "@tmp",
    "@SynoEAStream", "RECYCLER", "RECYCLE.BIN", "_gsdata_", "TheVolumeSettingsFolder",
)  # fmt: skip
FILES = (
    "._1.jpg",
    ".hidden.png",
    "Thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "Desktop.ini",
    ".DS_Store",
    "Icon\r",
    ".nomedia",
    ".picasa.ini",
)
CLASSES = ("recycled", "trash", "found", "thumbs", "system volume", "@home", "#1", "$", "macosx", "lost and found", "tmp", "eadir")


@pytest.mark.failure("wrong layout")
@pytest.mark.parametrize("name", FOLDERS)
def test_what_systems_leave_behind_is_no_class_and_no_split(tmp_path: Path, name: str) -> None:
    plain = touch(tmp_path / "pets", "train/cat/1.jpg", "train/dog/2.jpg", "test/cat/3.jpg", "test/dog/4.jpg")
    before = read(plain)
    touch(plain, f"{name}/5.jpg", f"{name}/cat/6.jpg", f"train/{name}/7.jpg", f"test/cat/{name}/1.jpg/SYNOPHOTO_THUMB_M.jpg")
    after = read(plain)
    assert (after.samples, after.classes) == (before.samples, before.classes)
    said = [remark for remark in after.remarks if "what systems leave behind" in remark]
    assert len(said) == (not name.startswith("."))


@pytest.mark.failure("wrong layout")
@pytest.mark.parametrize("name", FILES)
def test_files_left_behind_are_no_images_and_not_counted(tmp_path: Path, name: str) -> None:
    root = touch(tmp_path, "cat/1.jpg", "dog/2.jpg", f"cat/{name}", name)
    found = read(root)
    assert [sample.sample_id for sample in found.samples] == ["cat/1.jpg", "dog/2.jpg"]
    assert not any("not images" in remark or "no image was" in remark for remark in found.remarks)
    assert image_paths([root]) == [root / "cat" / "1.jpg", root / "dog" / "2.jpg"]


def test_classes_that_only_sound_like_it_stay(tmp_path: Path) -> None:
    assert not any(map(is_left_behind, CLASSES))
    assert read(touch(tmp_path, *(f"{name}/1.jpg" for name in CLASSES))).classes == tuple(sorted(CLASSES))


@pytest.mark.failure("wrong layout")
@pytest.mark.parametrize("extra", ["__MACOSX/d/._1.jpg", "d/._1.jpg", "d/@eaDir/1.jpg/x.jpg", "$RECYCLE.BIN/1.jpg", "d/.hidden/9.jpg"])
def test_members_of_tars_left_behind_are_none(tmp_path: Path, extra: str) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, data in (("d/1.jpg", b"x"), ("d/1.cls", b"cat"), ("d/2.jpg", b"y"), ("d/2.cls", b"dog"), (extra, b"no image")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    touch(tmp_path, "._a.tar", "@eaDir/a.tar", "__MACOSX/._a.tar", "@eaDir/1.jpg")
    for place in (tmp_path, tmp_path / "*.tar"):
        found = read(place)
        assert [sample.sample_id for sample in found.samples] == ["a.tar/d/1.jpg", "a.tar/d/2.jpg"]


@pytest.mark.failure("odd pixels")
@pytest.mark.parametrize("suffix", [*UNREAD, ".NEF", ".Dng"])
def test_a_picture_that_is_not_read_is_a_row_with_an_error(tmp_path: Path, suffix: str) -> None:
    root = touch(tmp_path, "cat/1.jpg", f"cat/IMG_2{suffix}", "dog/1.jpg")
    found = read(root)
    place = next(sample.place for sample in found.samples if "IMG_2" in sample.sample_id)
    bad = read_place(place)
    assert isinstance(bad, BadImage)
    assert (bad.kind, bad) == ("unsupported", loaded(root / "cat" / f"IMG_2{suffix}"))
    assert image_paths([root]) == [root / "cat" / "1.jpg", root / "cat" / f"IMG_2{suffix}", root / "dog" / "1.jpg"]


@pytest.mark.failure("odd pixels")
@pytest.mark.parametrize("suffix", [".NEF", ".cr2", ".dng", ".psd", ".svg"])
def test_a_class_of_pictures_that_are_not_read_is_refused_with_the_reason(tmp_path: Path, suffix: str) -> None:
    root = touch(tmp_path, "cat/1.jpg", *(f"dog/{number}{suffix}" for number in range(5)))
    with pytest.raises(InputError, match=rf"class 'dog' has 5 pictures and none that is read: 'dog/\d{suffix}': .* not read; "):
        read(root)


@pytest.mark.failure("wrong layout")
@pytest.mark.parametrize(
    ("names", "held"),
    [
        (("clip.mov", "clip2.mov"), "2 .mov"),
        (("notes.txt",), "1 .txt"),
        (("deep/er/scan.pdf", "scan"), "1 .pdf, 1 no suffix"),
        (("1.jpg.part", "2.jpg.crdownload"), "1 .crdownload, 1 .part"),
        (("1.jpg.zip",), "1 .zip"),
    ],
)
def test_a_class_with_files_and_no_image_is_refused(tmp_path: Path, names: tuple[str, ...], held: str) -> None:
    root = touch(tmp_path, "cat/1.jpg", "dog/1.jpg", *(f"owl/{name}" for name in names))
    with pytest.raises(InputError, match=f"the class folder 'owl' has files and no image: {held}; add images, or move it out of the data"):
        read(root)
    for name in ("1.jpg", ".DS_Store"):
        assert touch(root, f"bee/{name}")
    (root / "owl").rename(tmp_path.parent / f"{tmp_path.name}-owl")
    (root / "empty").mkdir()
    found = read(root)
    assert found.classes == ("bee", "cat", "dog")
    assert "1 empty class folders were left out: 'empty'" in found.remarks


def test_a_raw_file_beside_its_jpeg_is_no_second_picture(tmp_path: Path) -> None:
    root = touch(tmp_path, "cat/1.jpg", "cat/1.CR2", "dog/1.jpg", "dog/2.NEF")
    found = read(root)
    assert [sample.sample_id for sample in found.samples if sample.place.name != "1.jpg"] == ["dog/2.NEF"]
    assert "1 file that is no image was left out: 1 .cr2" in found.remarks


def test_prediction_says_what_it_leaves_out(tmp_path: Path) -> None:
    class Told(Silent):
        lines: list[str]

        def say(self, line: str) -> None:
            self.lines.append(line)

    told = Told()
    told.lines = []
    root = touch(tmp_path, "1.jpg", "notes.txt", "clip.mov", "@eaDir/1.jpg")
    assert image_paths([root], told) == [root / "1.jpg"]
    assert told.lines == [
        f"{root}: 2 files that are not images were left out: 1 .mov, 1 .txt",
        f"{root}: what systems leave behind was left out: '@eaDir'",
    ]
