"""Images with values of more than 8 bits are known before they are read; what features are depends on the settings alone."""

from __future__ import annotations

import io
import tarfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.worlds.pixels import colours, encoded, wide_png, wide_tiff
from xmap.stages.config import DataConfig, ExtractConfig
from xmap.stages.datasets.content.hashing import hash_places, with_contents
from xmap.stages.datasets.content.wide import _is_wide, has_wide
from xmap.stages.datasets.open import open_dataset
from xmap.stages.extract.identity import ExtractSpec, image_identity, parts
from xmap.store.artifacts.identity import Identity
from xmap.store.memory.notes import Notes

USUAL = ExtractConfig()
GREY = Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 60)
PLAIN = Image.linear_gradient("L").resize((8, 8))
WIDE = {
    "grey.png": encoded(GREY, "png"),
    "grey.tif": encoded(GREY, "tiff"),
    "packed.tiff": encoded(GREY, "tiff", compression="tiff_lzw"),
    "int.TIF": encoded(Image.fromarray(np.arange(64, dtype=np.int32).reshape(8, 8)), "tiff"),
    "colour.png": wide_png(colours(12)),
    "big-endian.tif": wide_tiff(colours(12), ">"),
    "little-endian.tif": wide_tiff(colours(12), "<"),
}
NARROW = {
    "grey.png": encoded(PLAIN, "png"),
    "one-bit.png": encoded(PLAIN.convert("1"), "png"),
    "colour.png": encoded(PLAIN.convert("RGB"), "png"),
    "palette.png": encoded(PLAIN.convert("P"), "png"),
    "grey.tif": encoded(PLAIN, "tiff"),
    "colour.tif": encoded(PLAIN.convert("RGB"), "tiff"),
    "photo.jpg": encoded(PLAIN, "jpeg"),
    "empty.png": b"",
    "cut.png": encoded(GREY, "png")[:20],
    "cut.tif": encoded(GREY, "tiff")[:9],
    "text.tif": b"II*\0 no picture at all",
    "far.tif": b"II*\0\xff\xff\xff\xff",
}


@pytest.mark.parametrize("name", WIDE)
def test_wide_files_are_known_by_their_first_bytes(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(WIDE[name])
    assert _is_wide(tmp_path / name)


@pytest.mark.parametrize("name", NARROW)
def test_others_are_not_wide(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(NARROW[name])
    assert not _is_wide(tmp_path / name)
    assert not _is_wide(tmp_path / "gone" / name)


@given(st.sampled_from(sorted(WIDE)), st.binary(max_size=40), st.integers(0, 60))
def test_junk_in_a_head_raises_nothing(tmp_path_factory: pytest.TempPathFactory, name: str, junk: bytes, place: int) -> None:
    path = tmp_path_factory.getbasetemp() / f"junk-{name}"
    path.write_bytes(WIDE[name][:place] + junk + WIDE[name][place + len(junk) :])
    assert _is_wide(path) in (True, False)


def identity(folder: Path, extract: ExtractConfig = USUAL) -> Identity:
    class Encoder:
        name, fields = "encoder", {"name": "encoder"}

    contents = partial(hash_places, notes=Notes(folder.parent / "hashes"))
    dataset = with_contents(open_dataset(DataConfig(data=str(folder))), contents)
    return image_identity(ExtractSpec(dataset, Encoder(), extract))  # type: ignore[arg-type]


def fill(folder: Path, data: bytes, suffix: str) -> None:
    """Five files of two classes; what is behind a picture is no part of it, and makes them differ."""
    for name in ("ant", "bee"):
        (folder / name).mkdir(parents=True)
        for number in range(5):
            (folder / name / f"{number}{suffix}").write_bytes(data + f"{name} {number}".encode())


def test_settings_that_are_given_are_part_of_what_features_are_and_kinds_of_images_are_not(tmp_path: Path) -> None:
    fill(tmp_path / "plain", NARROW["grey.png"], ".png")
    fill(tmp_path / "deep", WIDE["grey.png"], ".png")
    fields = identity(tmp_path / "plain").fields
    assert {"depth", "max_pixels", "without"}.isdisjoint(fields)
    assert identity(tmp_path / "plain", ExtractConfig(depth=12)).fields == {**fields, "depth": 12}
    assert identity(tmp_path / "plain", ExtractConfig(max_pixels=100)).fields == {**fields, "max_pixels": 100}
    deep = [identity(tmp_path / "deep", ExtractConfig(depth=depth)) for depth in ("auto", 12, 16)]
    assert [found.fields.get("depth") for found in deep] == [None, 12, 16]
    assert len({parts(found)["test"] for found in deep}) == 3


def test_what_was_found_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deep.tif").write_bytes(WIDE["grey.tif"])
    (tmp_path / "plain.png").write_bytes(NARROW["grey.png"])
    notes = Notes(tmp_path / "notes")
    assert has_wide([tmp_path / "plain.png", tmp_path / "deep.tif"], "both", notes)
    assert not has_wide([tmp_path / "plain.png"], "plain", notes)
    monkeypatch.setattr("xmap.stages.datasets.content.wide._is_wide", None)
    assert has_wide([tmp_path / "plain.png"], "both", notes)
    assert not has_wide([tmp_path / "deep.tif"], "plain", notes)
    assert has_wide([], "other", Notes()) is False


@pytest.mark.parametrize(("data", "wide"), [(WIDE["grey.png"], True), (NARROW["grey.png"], False)])
def test_wide_members_of_a_tar_are_known_too(tmp_path: Path, data: bytes, wide: bool) -> None:
    (tmp_path / "tars").mkdir()
    for split in ("train", "test"):
        with tarfile.open(tmp_path / "tars" / f"{split}.tar", "w") as tar:
            for number in range(4):
                for name, member in ((f"{number}.png", data), (f"{number}.cls", str(number % 2).encode())):
                    info = tarfile.TarInfo(name)
                    info.size = len(member)
                    tar.addfile(info, io.BytesIO(member))
    dataset = open_dataset(DataConfig(data=str(tmp_path / "tars")))
    assert has_wide((sample.place for sample in dataset.samples), "tars", Notes()) is wide


@pytest.mark.parametrize("suffix", [".heic", ".HEIF", ".hif"])
def test_features_without_the_extra_are_others(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "phone", b"\0\0\0\x18ftypheic", suffix)
    monkeypatch.setattr("xmap.stages.extract.identity.has_heif", lambda: True)
    there = identity(tmp_path / "phone")
    monkeypatch.setattr("xmap.stages.extract.identity.has_heif", lambda: False)
    assert identity(tmp_path / "phone").fields == {**there.fields, "without": ["heic"]}
