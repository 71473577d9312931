"""Pixels as cameras, scanners and strangers write them: what their values mean, what is refused, and how much memory they may take."""

from __future__ import annotations

import io
import subprocess
import sys
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

import xmap.stages.images.decode
from tests.stages.images.test_decode import bad, chunk, encoded, good, ramp
from xmap.stages.images.decode import RULES, BadImage, Rules, decode_image, use_image
from xmap.stages.images.depths import RUNGS, assumed, eight_bits, held_depth
from xmap.stages.images.room import Room
from xmap.stages.images.views import out_of_proportion

Case = Callable[[], AbstractContextManager[None]]
pytestmark = pytest.mark.failure("odd pixels")

EIGHT = np.asarray(Image.radial_gradient("L").resize((20, 12)))
EIGHT = (255 - EIGHT.astype(int) * 255 // EIGHT.max()).astype(np.uint8)


def close(found: np.ndarray, wanted: np.ndarray, by: int = 1) -> bool:
    """Whether an RGB picture is the grey or coloured one that was meant, but for rounding."""
    meant = wanted if wanted.ndim == 3 else np.repeat(wanted[..., None], 3, -1)
    return found.shape == meant.shape and int(np.abs(found.astype(int) - meant).max()) <= by


def of_depth(bits: int) -> np.ndarray:
    """The same picture with values of so many bits, from 0 to all of them."""
    return (EIGHT.astype(np.uint32) * ((1 << bits) - 1) // 255).astype(np.uint16)


def png(data: bytes, name: bytes, body: bytes) -> bytes:
    """A PNG with one more chunk before its pixels."""
    place = data.index(b"IDAT") - 4
    return data[:place] + chunk(name, body) + data[place:]


def colours(bits: int, alpha: int = 0) -> np.ndarray:
    """A coloured picture (h, w, 3 or 4) of so many bits."""
    grey = of_depth(bits)
    bands = [grey, grey[:, ::-1], grey[::-1]] + ([np.full_like(grey, (1 << alpha) - 1)] if alpha else [])
    return np.stack(bands, -1)


def wide_png(values: np.ndarray) -> bytes:
    """A PNG of 16 bits a band, which Pillow cannot write: grey with alpha, RGB or RGBA."""
    height, width, bands = values.shape
    kind = {2: 4, 3: 2, 4: 6}[bands]
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([16, kind, 0, 0, 0])
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def wide_tiff(values: np.ndarray, order: str, compressed: bool = False) -> bytes:
    """A TIFF of 16 bits a band in one strip, little- or big-endian."""
    height, width, bands = values.shape
    pixels = values.astype(f"{order}u2").tobytes()
    pixels = zlib.compress(pixels) if compressed else pixels
    end: Literal["little", "big"] = "little" if order == "<" else "big"
    tags = [(256, 3, 1, width), (257, 3, 1, height), (259, 3, 1, 8 if compressed else 1), (262, 3, 1, 2), (277, 3, 1, bands)]
    tags += [(278, 3, 1, height), (279, 4, 1, len(pixels)), (284, 3, 1, 1)] + ([(338, 3, 1, 2)] if bands == 4 else [])
    size = 8 + 2 + 12 * (len(tags) + 2) + 4
    tags += [(258, 3, bands, size), (273, 4, 1, size + 2 * bands)]

    def entry(tag: int, kind: int, count: int, value: int) -> bytes:
        body = value.to_bytes(2, end) + b"\0\0" if kind == 3 and count == 1 else value.to_bytes(4, end)
        return tag.to_bytes(2, end) + kind.to_bytes(2, end) + count.to_bytes(4, end) + body

    listed = b"".join(entry(*tag) for tag in sorted(tags))
    head = (b"II*\0" if order == "<" else b"MM\0*") + (8).to_bytes(4, end) + len(tags).to_bytes(2, end)
    return head + listed + bytes(4) + (16).to_bytes(2, end) * bands + pixels


@pytest.mark.parametrize("bits", RUNGS)
@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_values_of_fewer_bits_in_files_of_16_are_taken_as_what_they_are(bits: int, kind: str) -> None:
    image = decode_image(encoded(Image.fromarray(of_depth(bits)), kind))
    assert isinstance(image, Image.Image)
    assert close(np.asarray(image), EIGHT)
    assert image.info == ({} if bits == 16 else {"depth": bits})


@pytest.mark.parametrize("bits", RUNGS)
def test_values_in_files_of_32_bits(bits: int) -> None:
    assert close(good(encoded(Image.fromarray(of_depth(bits).astype(np.int32)), "tiff")), EIGHT)


@pytest.mark.parametrize("bits", RUNGS[:-1])
@pytest.mark.parametrize(
    "written",
    [
        wide_png,
        lambda values: wide_tiff(values, "<"),
        lambda values: wide_tiff(values, ">"),
        lambda values: wide_tiff(values, "<", compressed=True),
        lambda values: wide_tiff(values, ">", compressed=True),
    ],
)
def test_colours_of_fewer_bits(written: Callable[[np.ndarray], bytes], bits: int) -> None:
    image = decode_image(written(colours(bits)))
    assert isinstance(image, Image.Image), image
    assert close(np.asarray(image), colours(8).astype(np.uint8))
    assert image.info == {"depth": bits}


def test_colours_of_all_16_bits_are_pillows_own() -> None:
    data = wide_png(colours(16))
    np.testing.assert_array_equal(good(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    np.testing.assert_array_equal(good(data), (colours(16) >> 8).astype(np.uint8))


@pytest.mark.parametrize("alpha", [12, 16])
def test_narrow_colours_with_transparency(alpha: int) -> None:
    assert close(good(wide_png(colours(12, alpha))), colours(8).astype(np.uint8))
    grey = np.stack([of_depth(12), np.full_like(of_depth(12), (1 << alpha) - 1)], -1)
    assert close(good(wide_png(grey)), EIGHT)


def test_what_a_file_declares_is_believed(case: Case) -> None:
    dark = of_depth(8)
    data = encoded(Image.fromarray(dark), "png")
    with case():
        assert good(png(data, b"sBIT", b"\x0c")).max() == 255 * 255 // 4095, "a dark picture of 12 bits, not a bright one of 8"
    with case():
        assert good(png(data, b"sBIT", b"\x10")).max() == 1
    with case():
        assert good(encoded(Image.fromarray(dark), "tiff", tiffinfo={281: 4095})).max() == 255 * 255 // 4095
    with case():
        assert good(encoded(Image.fromarray(dark), "tiff", tiffinfo={281: 65535})).max() == 1
    with case():
        # Scaled up to 16 bits when it was stored, as PNG wants it.
        half = (of_depth(12).astype(int) * 2 // 16 * 16).astype(np.uint16)
        assert good(png(encoded(Image.fromarray(half), "png"), b"sBIT", b"\x0c")).max() == round(int(half.max()) / 257)
    with case():
        assert good(b"P5 2 1 1023 " + np.array([0, 1023], ">u2").tobytes())[0, :, 0].tolist() == [0, 255]
    with case():
        assert good(b"P5 2 1 65535 " + np.array([0, 255], ">u2").tobytes())[0, :, 0].tolist() == [0, 1]


@pytest.mark.parametrize("depth", [8, 10, 12, 14, 16])
def test_a_depth_that_is_given_holds_for_every_file(depth: int, case: Case) -> None:
    most = (1 << depth) - 1
    for values in (np.array([[0, 200]], np.uint16), np.array([[0, 65535]], np.uint16)):
        with case():
            image = decode_image(encoded(Image.fromarray(values), "png"), Rules(depth))
            assert isinstance(image, Image.Image)
            assert np.asarray(image)[0, 1, 0] == round(min(int(values[0, 1]), most) * 255 / most)
            assert image.info == {}


@pytest.mark.parametrize(("low", "high"), [(-1024, 3071), (0, 70_000), (0, 2**31 - 1), (-5, -1), (-(2**31), 0)])
def test_values_without_a_known_range_are_bad_images_with_the_remedy(low: int, high: int) -> None:
    found = bad(encoded(Image.fromarray(np.array([[low, high]], np.int32)), "tiff"))
    assert found.kind == "unsupported"
    assert "--depth" in found.message
    assert isinstance(decode_image(encoded(Image.fromarray(np.array([[low, high]], np.int32)), "tiff"), Rules(12)), Image.Image)


@pytest.mark.parametrize("value", [0.5, float("nan"), float("inf"), -1.0, 3e38])
def test_floating_point_pixels_are_bad_images(value: float) -> None:
    assert bad(encoded(Image.fromarray(np.full((3, 3), value, np.float32)), "tiff")).kind == "unsupported"


@given(st.integers(8, 16), st.lists(st.integers(0, 65535), min_size=1, max_size=20))
def test_scaling_is_rounding(depth: int, values: list[int]) -> None:
    most = (1 << depth) - 1
    found = eight_bits(np.asarray(values, np.uint16), depth)
    assert [int(value) for value in found] == [int(min(value, most) * 255 / most + 0.5) for value in values]


@given(st.integers(0, 65535), st.one_of(st.none(), st.integers(1, 16)))
def test_a_depth_holds_the_largest_value(most: int, declared: int | None) -> None:
    assert most < 1 << held_depth(most, declared)


def test_what_was_assumed_is_said_with_counts() -> None:
    assert assumed({12: 40}).endswith("40 of 12 bits (--depth 16 takes them as they are)")
    assert "3 of 8 bits, 1,200 of 12 bits; they differ" in assumed({12: 1200, 8: 3})


# ---- metadata


@pytest.mark.parametrize("size", [2_000_000, 70_000_000])
@pytest.mark.parametrize("name", ["zTXt", "iTXt", "tEXt"])
def test_a_png_with_long_texts_is_read(size: int, name: str) -> None:
    info = PngImagePlugin.PngInfo()
    if name == "iTXt":
        info.add_itxt("about", "x" * size, zip=True)
    else:
        info.add_text("about", "x" * size, zip=name == "zTXt")
    np.testing.assert_array_equal(good(encoded(ramp(), "png", pnginfo=info)), np.asarray(ramp()))


def test_a_png_with_a_large_profile_or_texts_behind_its_pixels_is_read(case: Case) -> None:
    data, packed = encoded(ramp(), "png"), zlib.compress(b"p" * 3_000_000)
    with case():
        np.testing.assert_array_equal(good(png(data, b"iCCP", b"camera\0\0" + packed)), np.asarray(ramp()))
    with case():
        end = data.index(b"IEND") - 4
        np.testing.assert_array_equal(good(data[:end] + chunk(b"zTXt", b"late\0\0" + packed) + data[end:]), np.asarray(ramp()))
    with case():
        exif = Image.Exif()
        exif[0x0112] = 6
        turned = png(encoded(ramp(), "png", exif=exif), b"zTXt", b"text\0\0" + packed)
        assert good(turned).shape == (24, 16, 3)
    with case():
        cut = png(data, b"iCCP", b"camera\0\0" + packed)
        assert bad(cut[: len(cut) - 60]).kind in ("truncated", "damaged")
    with case():
        assert good(encoded(ramp(), "jpeg", icc_profile=b"p" * 500_000)).shape == (16, 24, 3)


# ---- size


@pytest.mark.parametrize("size", [(1, 2_000_000), (2_000_000, 1), (3, 100_000), (1, 30_000), (100_000, 2)])
def test_a_thread_of_pixels_is_one_bad_image(size: tuple[int, int]) -> None:
    for mode, shape in (("shortest", [224, 224]), ("longest", [224, 224]), ("shortest", [336, 224])):
        found = out_of_proportion(size, {"size": shape, "resize_mode": mode}, RULES)
        assert isinstance(found, BadImage), (mode, shape)
        assert found.kind == "too-large"


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (4000, 3), (10_000, 10_000), (640, 480), (224, 224)])
def test_other_pictures_are_in_proportion(size: tuple[int, int]) -> None:
    assert out_of_proportion(size, {"size": [224, 224], "resize_mode": "shortest"}, RULES) is None
    assert out_of_proportion(size, {"size": [224, 224], "resize_mode": "squash"}, RULES) is None


@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff", "webp", "bmp", "gif"])
def test_the_pixels_of_an_image_have_a_limit_that_is_a_setting(kind: str) -> None:
    data = encoded(Image.new("RGB", (100, 100)), kind)
    assert isinstance(decode_image(data, Rules(max_pixels=10_000)), Image.Image)
    found = decode_image(data, Rules(max_pixels=9_999))
    assert isinstance(found, BadImage)
    assert (found.kind, "--max-pixels" in found.message) == ("too-large", True)


def test_a_tile_larger_than_its_picture_counts() -> None:
    data = wide_tiff(colours(8), "<")
    assert isinstance(decode_image(data), Image.Image)
    # The tags of one strip become those of a huge tile.
    huge = data.replace((278).to_bytes(2, "little") + b"\x03\0", (323).to_bytes(2, "little") + b"\x04\0")
    found = decode_image(huge.replace((277).to_bytes(2, "little"), (322).to_bytes(2, "little")))
    assert isinstance(found, BadImage)


BOMB = """
import io, resource, sys, threading
from PIL import Image
Image.MAX_IMAGE_PIXELS = None
from xmap.stages.images.decode import decode_image, use_image
kind, mode = sys.argv[1:3]
buffer = io.BytesIO()
Image.new(mode, (13_000, 13_000)).save(buffer, kind, **({"compression": "tiff_deflate"} if kind == "tiff" else {}))
data = buffer.getvalue()
del buffer
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
def shrink(image):
    image.thumbnail((88, 88))
    return image.size
threads = [threading.Thread(target=lambda: use_image(data, shrink)) for _ in range(int(sys.argv[3]))]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(data), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.thorough
@pytest.mark.parametrize(("kind", "mode"), [("png", "RGB"), ("png", "RGBA"), ("png", "P"), ("tiff", "RGB"), ("gif", "P")])
def test_a_bomb_takes_bounded_memory_in_any_number_of_threads(kind: str, mode: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", BOMB, kind, mode, "4"], cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=280
    )
    assert run.returncode == 0, run.stderr
    size, peak = map(int, run.stdout.split())
    assert size < 5_000_000
    # Thirteen thousand squared at four bytes are 0.7 GB; a conversion holds two.
    assert peak < 2_500, peak


def test_large_images_take_turns() -> None:
    room, held, most = Room(), 0, 0

    def use() -> None:
        nonlocal held, most
        with room.of(60, 100):
            held += 60
            most = max(most, held)
            held -= 60

    import threading

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert most == 60
    with room.of(500, 100):
        assert True, "one image alone is never waited for"


# ---- formats


FOREIGN = {
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\n{} loop\nshowpage\n",
    "PDF": b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n",
    "Windows metafile": b"\xd7\xcd\xc6\x9a" + bytes(200),
    "enhanced metafile": b"\x01\x00\x00\x00" + bytes(36) + b" EMF" + bytes(100),
    "FITS": b"SIMPLE  =                    T" + b" " * 2850,
    "MPEG": b"\x00\x00\x01\xb3" + bytes(100),
    "XBM": b"#define im_width 8\n#define im_height 8\nstatic char im_bits[] = {\n0x00};\n",
    "GRIB": b"GRIB" + bytes(3) + b"\x01" + bytes(100),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_no_format_is_opened_that_belongs_to_no_image_suffix(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*arguments: object, **options: object) -> None:
        raise AssertionError(f"started {arguments}")

    for function in ("Popen", "run", "call", "check_call", "check_output"):
        monkeypatch.setattr(subprocess, function, started)
    assert bad(FOREIGN[name]).kind == "not-an-image"
    assert "EPS" not in xmap.stages.images.decode.openable()


@pytest.mark.parametrize("kind", ["ico", "tga", "pcx", "sgi", "eps", "pdf"])
def test_neither_is_a_sound_picture_of_such_a_format(kind: str) -> None:
    assert bad(encoded(ramp(), kind)).kind == "not-an-image"


@pytest.mark.parametrize(("suffix", "kind"), [(".png", "jpeg"), (".jpg", "png"), (".jpg", "webp"), (".bmp", "tiff"), (".tif", "gif")])
def test_a_suffix_that_lies_is_no_fault(tmp_path: Path, suffix: str, kind: str) -> None:
    (tmp_path / f"a{suffix}").write_bytes(encoded(ramp(), kind))
    assert isinstance(xmap.stages.images.decode.load_image(tmp_path / f"a{suffix}"), Image.Image)


def heic(image: Image.Image) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, quality=90)
    return buffer.getvalue()


def test_heic_is_read_with_the_extra() -> None:
    data = heic(ramp((64, 48)))
    assert np.abs(good(data).astype(int) - np.asarray(ramp((64, 48)))).mean() < 12
    assert bad(data[: len(data) // 2]).kind in ("truncated", "damaged")
    assert bad(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic").kind == "damaged"


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1", b"msf1", b"hevc"])
def test_without_the_extra_each_heic_is_a_bad_image_that_names_it(brand: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xmap.stages.images.decode, "has_heif", lambda: False)
    monkeypatch.setattr(xmap.stages.images.decode, "openable", lambda: ("AVIF", "JPEG", "PNG", "TIFF", "WEBP"))
    found = bad(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0" + brand + b"heic")
    assert found.kind == "unsupported"
    assert "xmap[heic]" in found.message


@settings(max_examples=60)
@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from(["L", "I;16", "RGB", "RGBA", "P", "1", "CMYK", "LA"]), st.data())
def test_any_small_picture_is_read_or_has_a_reason(width: int, height: int, mode: str, data: st.DataObject) -> None:
    bits = data.draw(st.binary(min_size=width * height * 4, max_size=width * height * 4))
    size = width * height * (2 if mode == "I;16" else len(mode) if mode in ("RGB", "RGBA", "CMYK", "LA") else 1)
    image = Image.frombytes(mode, (width, height), bits[:size]) if mode != "1" else Image.new("1", (width, height), bits[0] & 1)
    found = use_image(encoded(image, "tiff"), lambda made: (made.mode, made.size))
    assert found == ("RGB", (width, height))
