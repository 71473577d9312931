"""The encoders of an adapter, one or several, as one: what cuts pixels of an image for them, and their features of these pixels.

Pixels of several encoders have several sizes: of each image they are one row of bytes, those of the first encoder first.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from PIL.Image import Image

from xmap.stages.images.crop import plain_crop
from xmap.stages.images.decode import BadImage, Rules
from xmap.stages.images.load import load
from xmap.stages.images.read import Given
from xmap.stages.images.views import Deep, Loaded, Pixels, ViewMaker, normalised
from xmap.store.formats.arrays import side_by_side
from xmap.store.formats.tables import Array

if TYPE_CHECKING:
    from xmap.stages.encoder.model import Encoder


@dataclass(frozen=True)
class Encoders:
    """Encoders in the order of their features in a wide row."""

    each: tuple[Encoder, ...]

    @classmethod
    def of(cls, given: Encoder | Encoders) -> Encoders:
        """One encoder or several."""
        return given if isinstance(given, Encoders) else cls((given,))

    @property
    def device(self) -> str:
        return self.each[0].device

    @property
    def width(self) -> int:
        """C, the width of their features."""
        return sum(encoder.identity.width for encoder in self.each)

    def maker(self, rules: Rules) -> PixelMaker:
        """What makes the pixels of an image for them."""
        preprocesses = [encoder.identity.preprocess for encoder in self.each]
        return PixelMaker(tuple(ViewMaker(plain_crop(preprocess), preprocess, 0, rules) for preprocess in preprocesses))

    def encode(self, pixels: Pixels) -> Array:
        """Features (B, C) float32 of the pixels of B images, as `maker` makes them: raw ones of one encoder, wide ones of several."""
        found = [
            encoder.encode_images(normalised(part, encoder.identity.preprocess, encoder.device))
            for encoder, part in zip(self.each, self._parts(pixels), strict=True)
        ]
        return found[0] if len(found) == 1 else side_by_side(found)

    def _parts(self, pixels: Pixels) -> list[Pixels]:
        """Of pixels those of each encoder (B, H, W, 3)."""
        if len(self.each) == 1:
            return [pixels]
        sizes = [(*encoder.identity.preprocess["size"], 3) for encoder in self.each]
        ends = pairwise(accumulate(map(prod, sizes), initial=0))
        return [pixels[:, first:last].reshape(-1, *size) for (first, last), size in zip(ends, sizes, strict=True)]


@dataclass(frozen=True)
class PixelMaker:
    """Makes the pixels of an image for several encoders, of which each has a maker; the image is decoded once."""

    makers: tuple[ViewMaker, ...]

    def load(self, place: Given) -> Loaded:
        """The pixels of view 0 of the image at `place`, (1, H, W, 3) or (1, bytes) uint8, or why there are none."""
        first = self.makers[0]
        return first.load(place) if len(self.makers) == 1 else load(place, self._made, first.rules)

    def _made(self, image: Image) -> Loaded:
        rows, depth = [], None
        for maker in self.makers:
            made = maker.made(image, "", (0,))
            if isinstance(made, BadImage):
                return made
            depth = made.depth if isinstance(made, Deep) else depth
            rows.append((made.pixels if isinstance(made, Deep) else made).reshape(1, -1))
        pixels = np.concatenate(rows, axis=1)
        return pixels if depth is None else Deep(pixels, depth)
