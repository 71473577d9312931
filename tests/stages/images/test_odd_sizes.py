"""Pictures that are too large, too thin or packed too well: what is refused, and how much memory they may take."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from PIL import Image

import xmap.stages.images.room
from tests.worlds.pixels import chunk, colours, encoded, wide_tiff
from xmap.stages.images.decode import RULES, BadImage, Rules, decode_image
from xmap.stages.images.png_chunks import has_too_many_chunks
from xmap.stages.images.room import Room, decoding_bytes
from xmap.stages.images.views import out_of_proportion

pytestmark = pytest.mark.failure("odd pixels")


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

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert most == 60
    with room.of(500, 100):
        assert True, "one image alone is never waited for"


EMPTY = chunk(b"teXt", b"")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("count", [1 << 18, 1_000_000])
@pytest.mark.parametrize("name", [b"teXt", b"IDAT", b"\xff\xff\xff\xff"])
def test_a_png_of_a_million_empty_chunks_is_refused_at_once(count: int, name: bytes) -> None:
    whole = encoded(Image.new("RGB", (4, 4)), "png")
    found = decode_image(whole[:33] + chunk(name, b"") * count + whole[33:])
    assert isinstance(found, BadImage)
    assert (found.kind, found.message) == ("too-large", "a PNG of far more parts than a picture has; save it again")


def test_a_png_of_many_chunks_is_read() -> None:
    whole = encoded(Image.new("RGB", (4, 4), "red"), "png")
    assert not has_too_many_chunks(whole[:33] + EMPTY * 130_000 + whole[33:])
    found = decode_image(whole[:33] + EMPTY * 1000 + whole[33:])
    assert isinstance(found, Image.Image)
    assert found.getpixel((1, 1)) == (255, 0, 0)
    assert not has_too_many_chunks(encoded(Image.new("RGB", (4, 4)), "gif"))


@pytest.mark.parametrize("kind", ["webp", "png", "jpeg", "tiff"])
def test_what_the_machine_has_no_memory_for_is_not_begun(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xmap.stages.images.room, "LITTLE", 0)
    data, weight = encoded(Image.new("RGB", (50, 40)), kind), {"webp": 20}.get(kind, 7)
    for free, read in ((2000 * weight - 1, False), (2000 * weight, True), (None, True)):
        monkeypatch.setattr(xmap.stages.images.room, "available_bytes", lambda free=free: free)
        found = decode_image(data)
        assert isinstance(found, Image.Image) == read
        assert read or found == BadImage("too-large", "decoding its 50 x 40 pixels takes 0.0 GB, more than is free")


@pytest.mark.parametrize(
    ("mode", "kind", "weight"),
    [("RGBA", "png", 11), ("I;16", "png", 19), ("LA", "png", 11), ("P", "gif", 7), ("RGB", "webp", 20), ("RGBA", "webp", 20)],
)
def test_wide_and_transparent_pictures_and_some_formats_take_more(mode: str, kind: str, weight: int) -> None:
    with Image.open(io.BytesIO(encoded(Image.new(mode, (5, 5)), kind))) as image:
        assert decoding_bytes(image, 25) == 25 * weight
