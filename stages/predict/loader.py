"""New images in batches as an encoder takes them: an extraction's view 0 of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from xmap.stages.adapters.neighbors import batches
from xmap.stages.images.decode import BadImage, Rules
from xmap.stages.images.depths import assumed
from xmap.stages.images.in_time import TIMEOUT_SECONDS, in_time
from xmap.stages.images.read import Given
from xmap.stages.images.views import Deep, Loaded, Pixels, ViewMaker
from xmap.stages.machine.waiting import giving_way
from xmap.stages.predict.encoders import Encoders, PixelMaker
from xmap.stages.workplace.progress import Progress
from xmap.store.formats.tables import Array

if TYPE_CHECKING:
    from xmap.stages.encoder.model import Encoder
    from xmap.stages.predict.answers import Answers

SLOW = BadImage("too-slow", f"it took more than {TIMEOUT_SECONDS} s: a disk, a mount or a decoder hangs")


@dataclass(frozen=True, eq=False)
class Batch:
    """B images: their names, the pixels of those that can be read, each (1, H, W, 3) uint8, and by row why the others cannot."""

    names: Sequence[str]
    pixels: Sequence[Pixels]
    bad: Mapping[int, BadImage]


class PixelLoader:
    """Reads images as a `maker` has their pixels; `depths` counts them by the bits assumed of their values."""

    def __init__(self, maker: ViewMaker | PixelMaker, threads: int) -> None:
        self._maker, self._threads = maker, threads
        self.depths: Counter[int] = Counter()

    def batches(self, images: Sequence[Given], size: int) -> Iterator[Batch]:
        """All images, `size` at a time; the next ones load while the encoder works."""
        with closing(in_time(self._maker.load, images, self._threads, size)) as answers:
            for part in batches(len(images), size):
                names = [str(image) for image in images[part]]
                made = [self._pixels(answer) for answer in islice(answers, len(names))]
                bad = {row: image for row, image in enumerate(made) if isinstance(image, BadImage)}
                yield Batch(names, [image for image in made if not isinstance(image, BadImage)], bad)

    def answered(self, images: Sequence[Given], size: int, progress: Progress, answer: Callable[[Batch], Answers]) -> Iterator[Answers]:
        """The `answer` of each batch, in order; `progress` hears how far it is, and what bits were assumed."""
        progress.start("predict", len(images))
        for batch in self.batches(images, size):
            yield answer(batch)
            progress.advance(len(batch.names))
        if self.depths:
            progress.say(assumed(self.depths))

    def _pixels(self, answer: Loaded | None) -> Pixels | BadImage:
        if isinstance(answer, Deep):
            self.depths[answer.depth] += 1
            return answer.pixels
        return SLOW if answer is None else answer


class ImageLoader(PixelLoader):
    """Reads images for an encoder or several, and encodes them."""

    def __init__(self, encoder: Encoder | Encoders, rules: Rules, threads: int) -> None:
        self._encoders = Encoders.of(encoder)
        super().__init__(self._encoders.maker(rules), threads)

    def batches(self, images: Sequence[Given], size: int) -> Iterator[Batch]:
        """All images, `size` at a time; the next ones load while the encoder works."""
        with giving_way(self._encoders.device):
            yield from super().batches(images, size)

    def encoded(self, batch: Batch) -> Array:
        """The features (G, C) float32 of those images of a batch that can be read: raw ones of one encoder, wide ones of several."""
        if not batch.pixels:
            return np.empty((0, self._encoders.width), np.float32)
        return self._encoders.encode(np.concatenate(batch.pixels))
