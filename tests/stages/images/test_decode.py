"""Every kind of image file, made for real: what becomes RGB, and what becomes a reason."""

from __future__ import annotations

import errno
import os
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import xmap.stages.images.decode
from tests.worlds.pixels import bad, chunk, encoded, good, loaded, ramp
from xmap.stages.datasets.places.place import MAX_BYTES
from xmap.stages.images.decode import BadImage, decode_image
from xmap.stages.images.jpeg_scans import has_too_many_scans
from xmap.stages.images.read import read_place


@pytest.mark.parametrize("kind", ["png", "bmp", "tiff", "ppm"])
def test_plain_formats_keep_their_pixels(kind: str) -> None:
    np.testing.assert_array_equal(good(encoded(ramp(), kind)), np.asarray(ramp()))


@pytest.mark.parametrize("kind", ["jpeg", "webp", "gif"])
def test_lossy_formats_come_close(kind: str) -> None:
    assert np.abs(good(encoded(ramp(), kind)).astype(int) - np.asarray(ramp())).mean() < 12


def test_exif_rotation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = good(encoded(ramp(), "jpeg", exif=exif))
    assert upright.shape == (24, 16, 3)
    assert upright[0].mean() < upright[-1].mean()


def test_sixteen_bits_are_scaled_not_cut() -> None:
    values = np.array([[0, 257, 32896, 65535]], np.uint16)
    np.testing.assert_array_equal(good(encoded(Image.fromarray(values), "png"))[0, :, 0], [0, 1, 128, 255])
    np.testing.assert_array_equal(good(encoded(Image.fromarray(values), "tiff"))[0, :, 0], [0, 1, 128, 255])


def test_cmyk_becomes_rgb() -> None:
    found = good(encoded(ramp().convert("CMYK"), "jpeg", quality=95))
    assert np.abs(found.astype(int) - np.asarray(ramp())).mean() < 12


def test_transparency_lies_on_white() -> None:
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 128))
    assert good(encoded(image, "png"))[0].tolist() == [[255, 255, 255], [127, 127, 127]]
    grey = Image.new("LA", (1, 1), (0, 0))
    assert good(encoded(grey, "png"))[0].tolist() == [[255, 255, 255]]
    palette = Image.new("P", (2, 1), 0)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    assert good(encoded(palette, "png", transparency=0))[0].tolist() == [[255, 255, 255], [40, 50, 60]]
    assert good(encoded(palette, "png"))[0].tolist() == [[10, 20, 30], [40, 50, 60]]


def test_black_and_white_and_grey() -> None:
    assert good(encoded(Image.new("1", (3, 3), 1), "png")).min() == 255
    assert good(encoded(Image.new("L", (3, 3), 77), "png")).tolist()[0][0] == [77, 77, 77]


def test_the_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime", "blue")]
    assert good(encoded(frames[0], "gif", save_all=True, append_images=frames[1:])).tolist()[0][0] == [255, 0, 0]


def test_floating_point_pixels_are_unsupported() -> None:
    assert bad(encoded(Image.fromarray(np.ones((2, 2), np.float32)), "tiff")).kind == "unsupported"


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "gif", "bmp", "tiff"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_cut_file_is_never_half_an_image(kind: str, share: float) -> None:
    draw = np.random.default_rng(0)
    data = encoded(Image.fromarray(draw.integers(0, 256, (40, 40, 3), dtype=np.uint8)), kind)
    found = bad(data[: int(len(data) * share)])
    assert found.kind in ("truncated", "damaged", "not-an-image")
    assert found.kind == "truncated" or kind not in ("jpeg", "png")


@pytest.mark.parametrize("data", [b"<html><body>404</body></html>", b"plain text", b"\0" * 100, b"\xff\xd8\xff"])
def test_other_files_are_no_images(data: bytes) -> None:
    assert bad(data).kind in ("not-an-image", "truncated")


def bomb(width: int, height: int) -> bytes:
    """A valid PNG head that promises width x height pixels."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))


@pytest.mark.parametrize("size", [(60_000, 60_000), (14_000, 13_000), (2**31 - 1, 2)])
def test_decompression_bombs_are_refused_by_their_header(size: tuple[int, int]) -> None:
    found = bad(bomb(*size) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b""))
    assert found.kind == "too-large"
    assert "limit" in found.message


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["jpeg", "png", "gif", "bmp", "tiff", "webp"]), st.integers(0, 400))
def test_junk_never_raises_and_messages_are_repeatable(junk: bytes, kind: str, place: int) -> None:
    data = encoded(ramp(), kind)
    broken = data[:place] + junk + data[place + len(junk) :]
    one, other = decode_image(broken), decode_image(broken)
    if isinstance(one, BadImage):
        assert one == other
        assert not re.search(r"0x[0-9a-f]{6}|BytesIO", one.message)


def test_broken_exif_does_not_lose_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    def raising(image: Image.Image) -> Image.Image:
        raise SyntaxError("not a TIFF file")

    monkeypatch.setattr(xmap.stages.images.decode.ImageOps, "exif_transpose", raising)
    assert good(encoded(ramp(), "png")).shape == (16, 24, 3)


@pytest.mark.timeout(20)
def test_paths_that_are_no_files_have_their_kind_and_nothing_hangs(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "broken.jpg").symlink_to("nowhere")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "fine.jpg").write_bytes(encoded(ramp(), "jpeg"))
    kinds = {path.name: found.kind for path in tmp_path.iterdir() if isinstance(found := loaded(path), BadImage)}
    assert kinds == {
        "pipe.jpg": "not-a-file",
        "broken.jpg": "missing",
        "loop.jpg": "link-loop",
        "folder.jpg": "not-a-file",
        "zero.jpg": "not-a-file",
        "empty.jpg": "empty",
    }
    assert isinstance(loaded(tmp_path / "fine.jpg"), Image.Image)
    assert loaded(tmp_path / "fine.jpg" / "below") == BadImage("missing", "there is no such file, or it is a link to none")


def test_a_file_without_permission_is_unreadable(unprivileged: Path) -> None:
    (unprivileged / "a.jpg").write_bytes(b"x")
    (unprivileged / "a.jpg").chmod(0)
    found = read_place(unprivileged / "a.jpg")
    assert isinstance(found, BadImage)
    assert found.kind == "unreadable"


def test_a_failing_disk_is_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")

    def failing(self: Path) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", failing)
    assert read_place(tmp_path / "a.jpg") == BadImage("unreadable", "Input/output error")


@pytest.mark.parametrize(
    ("number", "times", "kind"),
    [(errno.EIO, 1, None), (errno.EIO, 2, "unreadable"), (errno.EMFILE, 1, "unreachable"), (errno.ESTALE, 1, "unreachable")],
)
def test_an_error_that_passes_makes_no_image_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, times: int, kind: str | None
) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    read, answers = Path.read_bytes, iter([OSError(number, os.strerror(number))] * times)

    def passing(self: Path) -> bytes:
        for error in answers:
            raise error
        return read(self)

    monkeypatch.setattr(Path, "read_bytes", passing)
    found = read_place(tmp_path / "a.jpg")
    assert (found.kind if isinstance(found, BadImage) else None) == kind


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "sparse.tif", "wb") as file:
        file.truncate(MAX_BYTES + 1)
    found = read_place(tmp_path / "sparse.tif")
    assert isinstance(found, BadImage)
    assert found.kind == "too-large"


def test_real_photographs_decode(shared_data: Path) -> None:
    paths = sorted((shared_data / "photos" / "val").rglob("*.jpg"))[:5]
    assert all(isinstance(loaded(path), Image.Image) for path in paths)
    data = paths[0].read_bytes()
    assert bad(data[: len(data) * 3 // 4]).kind == "truncated"


def scans(times: int, before: bytes = b"", behind: bytes = b"") -> bytes:
    """A progressive JPEG whose last scan comes so many times more."""
    data = encoded(ramp(), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:2] + before + data[2:-2] + data[last:-2] * times + b"\xff\xd9" + behind


BY_CHANCE = b"\xff\xda" * 2000


@pytest.mark.failure("odd pixels")
@pytest.mark.parametrize(
    ("times", "before", "behind", "taken"),
    [
        (0, b"", b"", True),
        (400, b"", b"", True),
        (501, b"", b"", False),
        (3000, b"", b"", False),
        (3000, b"\xff\xfe\x0f\xa2" + BY_CHANCE, b"", False),
        (3, b"\xff\xfe\x0f\xa2" + BY_CHANCE, b"", True),
        (3, b"", BY_CHANCE, True),
        (3, b"\xff\xed\x0f\xa2" + BY_CHANCE, BY_CHANCE * 9, True),
    ],
)
def test_a_jpeg_that_goes_over_its_picture_again_and_again_is_one_bad_image(times: int, before: bytes, behind: bytes, taken: bool) -> None:
    """660 kB took minutes, after which the run ended; signs of a scan in comments and behind the picture are none."""
    image = decode_image(scans(times, before, behind))
    assert isinstance(image, Image.Image) if taken else isinstance(image, BadImage) and image.kind == "too-large"


def test_a_long_run_of_fill_bytes_is_walked_at_once() -> None:
    data = encoded(ramp(), "JPEG")
    start = data[:2] + b"\xff" * 200_000 + b"\x00" + b"\xff\xda\x00\x02" * 501
    assert has_too_many_scans(start + data[2:])


def test_decoders_that_cannot_be_loaded_are_no_fault_of_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no more open files Pillow's decoders are not found; the image was called damaged, which is remembered."""

    def no_more_files() -> tuple[str, ...]:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(xmap.stages.images.decode, "openable", no_more_files)
    with pytest.raises(OSError, match="Too many open files"):
        decode_image(encoded(ramp(), "png"))
