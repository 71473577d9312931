"""From bytes to an RGB image, or to the reason why there is none. No image stops a run, blocks it, or passes half read."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

from xmap.stages.config import AUTO, MAX_PIXELS, Depth, ExtractConfig
from xmap.stages.datasets.places.pictures import FORMATS
from xmap.stages.images.depths import TILE_HEIGHT, TILE_WIDTH, declared_depth
from xmap.stages.images.heif import EXTRA, has_heif, is_heif, register_heif
from xmap.stages.images.jpeg_scans import MOST, has_too_many_scans
from xmap.stages.images.pixels import NoRange, rgb_of
from xmap.stages.images.png_chunks import has_too_many_chunks, without_texts
from xmap.stages.images.quiet import QUIET
from xmap.stages.images.room import ROOM, USUAL, decoding_bytes, is_too_much
from xmap.store.errors import is_of_memory

Made = TypeVar("Made")


@dataclass(frozen=True)
class Rules:
    """What a user may say of pixels: the bits of values in files of 16 (auto: as declared or held), and the most pixels of an image."""

    depth: Depth = AUTO
    max_pixels: int = MAX_PIXELS


RULES = Rules()


def rules_of(extract: ExtractConfig) -> Rules:
    """The rules that the settings of an extraction name."""
    return Rules(extract.depth, extract.max_pixels)


@dataclass(frozen=True)
class BadImage:
    """Why a sample has no image. `kind` is one of missing, link-loop, not-a-file, unreadable, empty, too-large, not-an-image,
    truncated, damaged, unsupported, or what is no fault of the image: unreachable, changed, too-slow; `message` holds no path and no
    address, so that equal images give equal messages.
    """

    kind: str
    message: str


def use_image(data: bytes, use: Callable[[Image.Image], Made], rules: Rules = RULES) -> Made | BadImage:
    """What `use` makes of the image in `data`: RGB, 8 bits, upright, first frame, transparency on white.

    Its `info` says the `depth` that was assumed of its values, if any was. While `use` is at work the process decodes no more
    pixels than `rules` allow one image.
    """
    with ExitStack() as stack:
        image = _decoded(data, rules, stack)
        if isinstance(image, BadImage):
            return image
        made = use(image)
        if made is not image:
            image.close()
        return made


def decode_image(data: bytes, rules: Rules = RULES) -> Image.Image | BadImage:
    """The image in `data`, as `use_image` has it."""
    return use_image(data, lambda image: image, rules)


def _decoded(data: bytes, rules: Rules, stack: ExitStack) -> Image.Image | BadImage:
    # First: Pillow loads its decoders here, and what keeps it from that is no fault of this image.
    openable()
    try:
        # Odd metadata is no reason to speak, and size is checked here.
        with QUIET:
            try:
                return _pixels(data, rules, stack)
            except ValueError as error:
                if "MAX_TEXT" not in str(error):
                    raise
                return _pixels(without_texts(data), rules, stack)
    except UnidentifiedImageError:
        return _unknown(data)
    except Image.DecompressionBombError:
        return _too_large("too many pixels", rules)
    except MemoryError:
        return _too_large("it does not fit into memory", rules)
    # Pillow's many decoders raise what they like on bad bytes: OSError, SyntaxError, ValueError, struct.error, zlib.error, ...
    except Exception as error:
        return _too_large("it does not fit into memory", rules) if is_of_memory(error) else _broken(error)


def _pixels(data: bytes, rules: Rules, stack: ExitStack) -> Image.Image | BadImage:
    if has_too_many_chunks(data):
        return BadImage("too-large", "a PNG of far more parts than a picture has; save it again")
    with _opened(data, rules) as image:
        tags = getattr(image, "tag_v2", {})
        needed = max(image.width * image.height, int(tags.get(TILE_WIDTH, 0)) * int(tags.get(TILE_HEIGHT, 0)))
        if needed > rules.max_pixels:
            return _too_large(f"{image.width} x {image.height} pixels", rules)
        if has_too_many_scans(data):
            return BadImage("too-large", f"a JPEG that goes over its picture more than {MOST} times; save it again")
        size = decoding_bytes(image, needed)
        stack.enter_context(ROOM.of(size, rules.max_pixels * USUAL))
        if is_too_much(size):
            gigabytes = f"{size / 1e9:.1f} GB"
            return BadImage("too-large", f"decoding its {image.width} x {image.height} pixels takes {gigabytes}, more than is free")
        try:
            found, depth = rgb_of(image, declared_depth(image, data), rules.depth, lambda: _opened(data, rules))
        except NoRange as error:
            return BadImage("unsupported", str(error))
        upright = _upright(found, image)
        upright.info = {} if depth is None else {"depth": depth}
        if upright is not image:
            # Now, and not when the collector finds the circle of references that a file's reader makes: others wait for the room.
            image.close()
        return upright


def _opened(data: bytes, rules: Rules) -> ImageFile.ImageFile:
    if Image.MAX_IMAGE_PIXELS is not None and rules.max_pixels > 2 * Image.MAX_IMAGE_PIXELS:
        # Only raised, and only by who asks for it.
        Image.MAX_IMAGE_PIXELS = rules.max_pixels
    return Image.open(io.BytesIO(data), formats=openable())


def _upright(found: Image.Image, image: Image.Image) -> Image.Image:
    """`found`, made from `image`, turned as the metadata of that say."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        if orientation == 1:
            return found
        found.getexif()[ExifTags.Base.Orientation] = orientation
        return ImageOps.exif_transpose(found)
    except Exception:
        # Broken metadata beside sound pixels: the pixels are kept as they lie.
        return found


@cache
def openable() -> tuple[str, ...]:
    """The formats that Pillow may open here, whatever a file is called: it knows others, some of which start programs."""
    register_heif()
    Image.init()
    return tuple(name for name in dict.fromkeys(FORMATS.values()) if name in Image.OPEN)


def _unknown(data: bytes) -> BadImage:
    if not is_heif(data):
        return BadImage("not-an-image", "no known image format")
    if has_heif():
        return BadImage("damaged", "a HEIC picture that cannot be opened")
    return BadImage("unsupported", f"HEIC pictures need the extra heic: {EXTRA}")


def _too_large(what: str, rules: Rules) -> BadImage:
    return BadImage("too-large", f"{what}; the limit is {rules.max_pixels:,} pixels (--max-pixels)")


def _broken(error: Exception) -> BadImage:
    text = re.sub(r"<[^>]*>|0x[0-9a-fA-F]+", "...", str(error)).strip().splitlines()
    message = f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
    cut = isinstance(error, EOFError) or "truncated" in message.lower() or "unexpected end" in message.lower()
    return BadImage("truncated" if cut else "damaged", message)
