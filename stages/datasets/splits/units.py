"""What draws draw: contents, and names where no content is known. Samples of one unit are one in a draw."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from xmap.stages.datasets.content.repeats import EMPTY
from xmap.stages.datasets.dataset import Samples
from xmap.stages.datasets.places.columns import Array, texts
from xmap.store.memory.hashes import DIGEST, hexes


@dataclass(frozen=True)
class Units:
    """The unit of each sample by number (n,): first come `contents`, `DIGEST`, then `names`, `TEXT`, each once and sorted."""

    numbers: Array
    contents: Array
    names: Array

    @classmethod
    def of(cls, names: Array) -> Units:
        """Those of samples that are drawn by these names (n,)."""
        unique, numbers = np.unique(names, return_inverse=True)
        return cls(numbers.reshape(-1), np.empty(0, DIGEST), unique)

    @classmethod
    def of_samples(cls, samples: Samples, nothing: bytes = EMPTY) -> Units:
        """Contents, and sample ids where none is known; files without a byte are bad images, and not one image, unless `nothing` is."""
        if samples.contents is None:
            return cls.of(samples.ids)
        lost = (samples.contents == b"") | (samples.contents == nothing)
        numbers = np.empty(len(samples), np.int64)
        contents, numbers[~lost] = np.unique(samples.contents[~lost], return_inverse=True)
        names, others = np.unique(samples.ids[lost], return_inverse=True)
        numbers[lost] = others + len(contents)
        return cls(numbers, contents, names)

    def __len__(self) -> int:
        return len(self.contents) + len(self.names)

    def __iter__(self) -> Iterator[str]:
        """Each unit in words, by number."""
        yield from hexes(self.contents)
        yield from texts(self.names)

    def places(self) -> Array:
        """The place of each unit (u,) in the order of their words."""
        count = len(self.contents)
        before = [bisect_left(range(count), name, key=self._word) for name in texts(self.names)] if count else []
        names = np.arange(len(self.names)) + np.asarray(before or 0)
        return np.concatenate([np.arange(count) + np.searchsorted(before, np.arange(count), "right"), names])

    def _word(self, number: int) -> str:
        return self.contents[number : number + 1].tobytes().hex()
