"""From a path to an RGB image, or to the reason why there is none. No image stops a run, blocks it, or passes half read.

Reading and decoding are two steps, so that the bytes can be hashed in between: what is decoded is what was fingerprinted.
"""

from __future__ import annotations

import errno
import io
import re
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from stages.datasets.pictures import unread as unread_by_name
from stages.datasets.places import MAX_BYTES

# Pillow's own bound for "this is a decompression bomb".
MAX_PIXELS = 2 * 89_478_485


@dataclass(frozen=True)
class BadImage:
    """Why a sample has no image. `kind` is one of missing, link-loop, not-a-file, unreadable, empty, too-large, not-an-image,
    truncated, damaged, unsupported, or unreachable, which is no fault of the image and ends a run; `message` holds no path and no
    address, so that equal images give equal messages.
    """

    kind: str
    message: str


def read_image(path: Path) -> bytes | BadImage:
    """The bytes of the file at `path`. Pipes, devices and folders are never opened, nor pictures of a kind that is not read."""
    if why := unread_by_name(path.name):
        return BadImage("unsupported", why)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return BadImage("not-a-file", "it is a folder, a pipe or a device")
        if status.st_size > MAX_BYTES:
            return BadImage("too-large", f"the file has {status.st_size:,} bytes, the limit is {MAX_BYTES:,}")
        data = path.read_bytes()
    except OSError as error:
        return unread(error)
    return data or BadImage("empty", "the file has 0 bytes")


def decode_image(data: bytes) -> Image.Image | BadImage:
    """The image in `data`: RGB, 8 bits, upright, first frame, transparency on white."""
    try:
        with warnings.catch_warnings():
            # Odd metadata is no reason to speak, and size is checked here.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                if image.width * image.height > MAX_PIXELS:
                    return _too_large(f"{image.width} x {image.height} pixels")
                image.load()
                return _rgb(_upright(image))
    except UnidentifiedImageError:
        return BadImage("not-an-image", "no known image format")
    except Image.DecompressionBombError:
        return _too_large("too many pixels")
    except MemoryError:
        return _too_large("it does not fit into memory")
    # Pillow's many decoders raise what they like on bad bytes: OSError, SyntaxError, ValueError, struct.error, zlib.error, ...
    except Exception as error:
        return _broken(error)


def load_image(path: Path) -> Image.Image | BadImage:
    """Read and decode in one step."""
    data = read_image(path)
    return data if isinstance(data, BadImage) else decode_image(data)


def unread(error: OSError) -> BadImage:
    """Why an image could not be read, from the system's error."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return BadImage("missing", "there is no such file, or it is a link to none")
    if error.errno == errno.ELOOP:
        return BadImage("link-loop", "the link leads back to itself")
    return BadImage("unreadable", error.strerror or "it cannot be read")


def _too_large(what: str) -> BadImage:
    return BadImage("too-large", f"{what}; the limit is {MAX_PIXELS:,} pixels")


def _broken(error: Exception) -> BadImage:
    text = re.sub(r"<[^>]*>|0x[0-9a-fA-F]+", "...", str(error)).strip().splitlines()
    message = f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
    cut = isinstance(error, EOFError) or "truncated" in message.lower() or "unexpected end" in message.lower()
    return BadImage("truncated" if cut else "damaged", message)


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        # Broken metadata beside sound pixels: the pixels are kept as they lie.
        return image


def _rgb(image: Image.Image) -> Image.Image | BadImage:
    if image.mode == "F":
        return BadImage("unsupported", "floating-point pixels have no fixed range")
    if image.mode.startswith("I"):
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _eight_bits(values: np.ndarray[tuple[int, ...], np.dtype[np.integer]]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    # A fixed scale: stretching each image to its own range would make its brightness depend on one pixel.
    return ((values.clip(0, 65535).astype(np.uint32) + 128) // 257).astype(np.uint8)
