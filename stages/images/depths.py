"""How many bits the values of a picture have, where its file has room for more, and the 8-bit picture that they mean.

Cameras and scanners keep 10, 12 or 14 bits in files of 16: taken for 16 they are nearly black. What a file declares is believed;
else its largest value decides, and it is said what was assumed. A picture is never stretched to its own range: its brightness would
depend on one pixel.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
from PIL import Image

from xmap.stages.images.png_chunks import significant_bits

RUNGS = (8, 10, 12, 14, 16)
WIDEST = RUNGS[-1]
# Rows are worked on a part at a time, so that no large picture is held several times over.
STRIP = 1 << 22
# Pillow keeps the upper bytes of 16-bit colours. Read in the other order of bytes, the same file gives the lower ones.
LOWER = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
BITS_PER_SAMPLE, MAX_SAMPLE, TILE_WIDTH, TILE_HEIGHT = 258, 281, 322, 323
# Formats whose decoder has scaled the values by what the file declares.
SCALED = ("PPM", "JPEG2000")

Wide = npt.NDArray[np.uint16]
Box = tuple[int, int, int, int]


def declared_depth(image: Image.Image, data: bytes) -> int | None:
    """The bits that an opened image's file says its values have; None where it says nothing."""
    if image.format in SCALED:
        return WIDEST
    if image.format == "PNG":
        return significant_bits(data)
    tags: Mapping[int, object] = getattr(image, "tag_v2", {})
    bits, most = tags.get(BITS_PER_SAMPLE), _first(tags.get(MAX_SAMPLE))
    if isinstance(bits, tuple) and bits and bits[0] in RUNGS[1:-1]:
        return int(bits[0])
    return most.bit_length() if isinstance(most, int) and most + 1 in (1 << rung for rung in RUNGS) else None


def held_depth(most: int, declared: int | None) -> int:
    """The bits of values up to `most` (at most 65535): those declared, else the fewest usual ones.

    Where those declared do not suffice the values were scaled up when they were stored, as PNG wants it.
    """
    if declared is not None:
        return declared if most < 1 << declared else WIDEST
    return next(rung for rung in RUNGS if most < 1 << rung)


def assumed(depths: Mapping[int, int]) -> str:
    """What is said of images whose values were taken to have fewer bits than there is room for: `depths` counts them by bits."""
    listed = ", ".join(f"{depths[bits]:,} of {bits} bits" for bits in sorted(depths))
    several = "; they differ, so name the right one for all" if len(depths) > 1 else ""
    return f"values in files of more bits were taken as what they hold: {listed}{several} (--depth {WIDEST} takes them as they are)"


def eight_bits(values: npt.NDArray[np.integer], depth: int) -> npt.NDArray[np.uint8]:
    """Values of `depth` bits scaled to 8; what lies outside that range is cut off."""
    most = (1 << depth) - 1
    inside = np.arange(most + 1, dtype=np.uint32)
    # The nearest, as (v + 128) // 257 is for 16 bits.
    table = ((2 * 255 * inside + most) // (2 * most)).astype(np.uint8)
    scaled: npt.NDArray[np.uint8] = table[values.clip(0, most)]
    return scaled


def strips(size: tuple[int, int]) -> Iterator[Box]:
    """Boxes of whole rows that make up a picture."""
    width, height = size
    rows = max(1, STRIP // max(1, width))
    for top in range(0, height, rows):
        yield 0, top, width, min(height, top + rows)


def is_wide(image: Image.Image) -> bool:
    """Whether an image that is open and not loaded has colours of 16 bits, of which Pillow keeps 8."""
    return image.mode in ("RGB", "RGBA") and any(";16" in _rawmode(tile) for tile in getattr(image, "tile", ()))


def lower_bytes(image: Image.Image) -> Image.Image | None:
    """The lower bytes of a wide image, opened anew: a picture like the one of upper bytes; None where they cannot be had.

    Grey with alpha comes as (upper, lower, upper of alpha, lower of alpha).
    """
    tiles = []
    for tile in image.tile:  # type: ignore[attr-defined]
        mode, order = _rawmode(tile)[:-1], _rawmode(tile)[-1:]
        if mode not in ("LA;16", "RGB;16", "RGBA;16", "RGBX;16") or order not in LOWER:
            return None
        other = "RGBA" if mode == "LA;16" else mode + LOWER[order]
        tiles.append(tile._replace(args=other if isinstance(tile.args, str) else (other, *tile.args[1:])))
    image.tile = tiles  # type: ignore[attr-defined]
    image.load()
    return image


def is_grey(image: Image.Image) -> bool:
    """Whether an opened, not loaded, wide image is grey with alpha."""
    return any(_rawmode(tile).startswith("LA;16") for tile in image.tile)  # type: ignore[attr-defined]


def values_of(upper: Image.Image, lower: Image.Image, box: Box, grey: bool) -> Wide:
    """The 16-bit values (h, w, bands) of a part of a wide image."""
    low = np.asarray(lower.crop(box)).astype(np.uint16)
    if grey:
        both = low[..., 0::2] * 256 + low[..., 1::2]
        return both[..., [0, 0, 0, 1]]
    whole: Wide = np.asarray(upper.crop(box)).astype(np.uint16) * 256 + low
    return whole


def _rawmode(tile: object) -> str:
    args = getattr(tile, "args", "")
    found = args[0] if isinstance(args, tuple) and args else args
    return found if isinstance(found, str) else ""


def _first(value: object) -> object:
    return value[0] if isinstance(value, tuple) and value else value
