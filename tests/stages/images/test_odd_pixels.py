"""Pixels and metadata as cameras, scanners and strangers write them: what their values mean, and what is refused."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from tests.worlds.faults import Case
from tests.worlds.pixels import EIGHT, bad, chunk, close, colours, encoded, good, of_depth, png, ramp, wide_png, wide_tiff
from xmap.stages.images.decode import Rules, decode_image
from xmap.stages.images.depths import RUNGS, assumed, eight_bits, held_depth

pytestmark = pytest.mark.failure("odd pixels")


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
