"""Contents of samples, given and asked for in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
from blake3 import blake3

from xmap.stages.datasets.content.hashing import Contents
from xmap.stages.datasets.dataset import Dataset, Sample, Samples, known_contents
from xmap.stages.datasets.places.columns import Array
from xmap.stages.datasets.places.place import Place
from xmap.store.memory.hashes import DIGEST, hexes


def digest(word: str) -> str:
    """The hash of some bytes."""
    return blake3(word.encode()).hexdigest()


def digests(contents: Iterable[str | None]) -> Array:
    """A column of hashes in hex; None for what cannot be read."""
    return np.asarray([bytes.fromhex(content or "") for content in contents], DIGEST)


def having(samples: Iterable[Sample], contents: Iterable[str | None]) -> Samples:
    """Samples with their contents in hex."""
    return replace(Samples.of(samples), contents=digests(contents))


def reader(hashes: Mapping[Place, str]) -> Contents:
    """What tells the contents of places, of those that it knows."""
    return lambda places: digests(hashes.get(places[row]) for row in range(len(places)))


def hashes_of(dataset: Dataset) -> dict[Place, str]:
    """The contents of what can be read, in hex, by place."""
    contents = known_contents(dataset.samples)
    return {sample.place: content for sample, content, known in zip(dataset.samples, hexes(contents), contents, strict=True) if known}
