"""Formats under wrong names, of no image suffix, or of an extra that is not installed."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import xmap.stages.images.decode
from tests.worlds.pixels import bad, encoded, good, loaded, ramp
from xmap.stages.images.decode import use_image

pytestmark = pytest.mark.failure("odd pixels")


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
    assert isinstance(loaded(tmp_path / f"a{suffix}"), Image.Image)


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
