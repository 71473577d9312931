"""An encoder's own evaluation crop: what open_clip does before it makes numbers, by Pillow alone, pixel by pixel the same.

    shortest   resized until the shorter side fits, the middle cut out        as CLIP was trained
    longest    resized until the longer side fits, padded to the encoder's size
    squash     resized to the encoder's size, whatever its proportions

An image encoder's `crop_pct` is how much of the shorter side the middle has. open_clip and timm do it with torchvision, which would load
torch to resize a picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from PIL import ImageOps
from PIL.Image import Image, Resampling

Size = tuple[int, int]
BLACK = (0, 0, 0)


def plain_crop(preprocess: Mapping[str, Any]) -> Callable[[Image], Image]:
    """What cuts view 0 out of an RGB image: one of `preprocess`'s size (height, width)."""
    height, width = preprocess["size"]
    kernel = Resampling.BILINEAR if preprocess.get("interpolation") == "bilinear" else Resampling.BICUBIC
    mode = preprocess.get("resize_mode") or "shortest"
    # Image encoders see the middle of an image that is a little larger, as timm has it.
    around = math.floor(width / preprocess.get("crop_pct", 1.0))

    def squash(image: Image) -> Image:
        return image.resize((width, height), kernel)

    def shortest(image: Image) -> Image:
        if width != height:
            # Without the kernel: open_clip hands it on for square sizes alone.
            return _middle(image.resize(_scaled(image.size, (width, height), min), Resampling.BICUBIC), (width, height), BLACK)
        return _middle(image.resize(_shorter(image.size, around), kernel), (width, height), BLACK)

    def longest(image: Image) -> Image:
        fill = preprocess.get("fill_color", 0)
        colour = (fill, fill, fill) if isinstance(fill, int) else tuple(fill)
        return _middle(image.resize(_scaled(image.size, (width, height), max), kernel), (width, height), colour)

    return {"squash": squash, "shortest": shortest, "longest": longest}[mode]


def _shorter(size: Size, side: int) -> Size:
    """The size at which the shorter side is `side`; the longer one is cut off, not rounded."""
    wide, tall = size
    return (side, int(side * tall / wide)) if wide <= tall else (int(side * wide / tall), side)


def _scaled(size: Size, target: Size, chosen: Callable[[float, float], float]) -> Size:
    """The size at which the side of the `chosen` ratio fits the target; both are rounded."""
    ratio = chosen(size[0] / target[0], size[1] / target[1])
    return round(size[0] / ratio), round(size[1] / ratio)


def _middle(image: Image, target: Size, fill: tuple[int, ...]) -> Image:
    """The middle of an image, padded where it is smaller."""
    lacking = [max(wanted - there, 0) for wanted, there in zip(target, image.size, strict=True)]
    if any(lacking):
        near, far = [missing // 2 for missing in lacking], [(missing + 1) // 2 for missing in lacking]
        image = ImageOps.expand(image, (*near, *far), fill)
    left, upper = (round((there - wanted) / 2.0) for wanted, there in zip(target, image.size, strict=True))
    return image.crop((left, upper, left + target[0], upper + target[1]))
