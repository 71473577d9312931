"""From what a file holds to an RGB picture of 8 bits, upright, with transparency on white."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from xmap.stages.config import AUTO, Depth
from xmap.stages.images.depths import RUNGS, WIDEST, Box, Wide, eight_bits, held_depth, is_grey, is_wide, lower_bytes, strips, values_of

# A picture, and the bits that were assumed of its values.
Found = tuple[Image.Image, int | None]


class NoRange(ValueError):
    """Its pixels are no colours of 8 bits, and nothing says how to make them so."""


def rgb_of(image: ImageFile.ImageFile, declared: int | None, depth: Depth, again: Callable[[], ImageFile.ImageFile]) -> Found:
    """The picture of an image that is open and not loaded, and the bits that were assumed of its values, if any were.

    `declared` are the bits that the file says they have, `depth` those that the user says, and `again` opens the same image once
    more. Raises `NoRange`, and what Pillow's decoders raise.
    """
    wide = is_wide(image) and depth != WIDEST
    grey = wide and is_grey(image)
    image.load()
    narrow = _wide(image, grey, declared, depth, again) if wide else None
    return narrow or _rgb(image, declared, depth)


def _rgb(image: Image.Image, declared: int | None, depth: Depth) -> Found:
    if image.mode == "F":
        raise NoRange("floating-point pixels have no fixed range; convert it to 8 or 16 bits")
    if image.mode.startswith("I"):
        return _grey(image, declared, depth)
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        return _joined(image.size, lambda box: image.crop(box).convert("RGBA")), None
    return image if image.mode == "RGB" else image.convert("RGB"), None


def _grey(image: Image.Image, declared: int | None, depth: Depth) -> Found:
    low, high = _ends(image)[0]
    if depth == AUTO and (low < 0 or high > 65535):
        raise NoRange(f"its values go from {low} to {high}, whose range nothing says; convert it, or cut them off with --depth 16")
    bits = held_depth(high, declared) if depth == AUTO else depth
    scaled = _joined(image.size, lambda box: Image.fromarray(eight_bits(np.asarray(image.crop(box)), bits)).convert("RGB"))
    return scaled, _assumed(bits, high, declared, depth)


def _assumed(bits: int, most: int, declared: int | None, depth: Depth) -> int | None:
    """The bits, where they are neither what there is room for, nor said by the file or the user. Black is black in any."""
    return bits if most and depth == AUTO and declared is None and bits != WIDEST else None


def _ends(image: Image.Image) -> list[tuple[int, int]]:
    """The lowest and the highest value of each band."""
    found: Any = image.getextrema()
    return [(int(low), int(high)) for low, high in (found if isinstance(found[0], tuple) else (found,))]


def _wide(
    image: ImageFile.ImageFile, grey: bool, declared: int | None, depth: Depth, again: Callable[[], ImageFile.ImageFile]
) -> Found | None:
    """A picture of 16-bit colours whose values have fewer bits; None where they have them all, which is Pillow's own case."""
    high = max(most for _, most in _ends(image)[:3])
    if depth == AUTO and (declared == WIDEST or high >= 1 << (RUNGS[-2] - 8)):
        return None
    with again() as other:
        lower = lower_bytes(other)
        if lower is None or lower.size != image.size:
            raise NoRange("its colours have fewer than 16 bits in a form that is not read; convert it to 8 bits")
        parts = partial(values_of, image, lower, grey=grey)
        most, opaque = (max(int(parts(box)[..., bands].max()) for box in strips(image.size)) for bands in (slice(3), -1))
        bits = held_depth(most, declared) if depth == AUTO else depth
        scaled = _joined(image.size, lambda box: _narrow(parts(box), bits, bits if opaque < 1 << bits else WIDEST))
    return scaled, _assumed(bits, most, declared, depth)


def _narrow(values: Wide, bits: int, alpha: int) -> Image.Image:
    pixels = eight_bits(values[..., :3], bits)
    if values.shape[-1] == 4:
        pixels = np.concatenate([pixels, eight_bits(values[..., 3:], alpha)], -1)
    return Image.fromarray(pixels)


def _joined(size: tuple[int, int], part: Callable[[Box], Image.Image]) -> Image.Image:
    """An RGB image of strips, transparency on white."""
    whole = Image.new("RGB", size)
    for box in strips(size):
        strip = part(box)
        if strip.mode == "RGBA":
            strip = Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip).convert("RGB")
        whole.paste(strip, box[:2])
    return whole
