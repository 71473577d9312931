"""Small pictures as the bytes of image files, of any depth, and what is decoded from them."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Literal

import numpy as np
from PIL import Image

from xmap.stages.images.decode import BadImage, decode_image
from xmap.stages.images.load import load
from xmap.stages.images.read import Given


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def ramp(size: tuple[int, int] = (24, 16)) -> Image.Image:
    across = np.linspace(0, 255, size[0], dtype=np.uint8)
    pixels = np.stack([np.tile(across, (size[1], 1)), np.full(size[::-1], 90, np.uint8), np.full(size[::-1], 200, np.uint8)], -1)
    return Image.fromarray(pixels)


def good(data: bytes) -> np.ndarray:
    image = decode_image(data)
    assert isinstance(image, Image.Image), image
    assert image.mode == "RGB"
    return np.asarray(image)


def bad(data: bytes) -> BadImage:
    found = decode_image(data)
    assert isinstance(found, BadImage)
    return found


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


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


def loaded(place: Given) -> Image.Image | BadImage:
    """The whole image at a place."""
    return load(place, lambda image: image)
