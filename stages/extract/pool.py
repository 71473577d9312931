"""Features of images that are in no data set: their rows lie in the store by content, and no artifact names them.

So they cost nothing once such an image is labelled and part of one, or asked about again. They leave in the order of the pool, some at a
time and as soon as all that come before them are there, while an engine encodes the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xmap.stages.datasets.dataset import Samples, known_contents
from xmap.stages.extract.extraction import Extraction, say_bad
from xmap.stages.extract.identity import ExtractSpec
from xmap.stages.workplace.place import Workplace
from xmap.store.artifacts.locks import at_work
from xmap.store.formats.arrays import side_by_side
from xmap.store.formats.feature_rows import digest_keys
from xmap.store.formats.features import ErrorRow
from xmap.store.formats.tables import Array

# Looking up which rows are there takes seconds for a million: it is done so many times while the rest is encoded.
LOOKS = 20


@dataclass(frozen=True, eq=False)
class PoolPart:
    """Images of a pool that follow one another, from `start` to `stop`: the raw features (G, C) of those that are images, and why others,
    by their place from `start` on, are none."""

    start: int
    stop: int
    features: Array
    bad: Mapping[int, ErrorRow]


@dataclass(frozen=True)
class PoolFeatures:
    """The `samples` that are images, their raw features (n, C), and those that are none."""

    samples: Samples
    features: Array
    bad: Sequence[ErrorRow]


def pool_parts(workplace: Workplace, spec: ExtractSpec, size: int) -> Iterator[PoolPart]:
    """The plain features of a pool in order, `size` images a part, of which those that the store lacks are encoded and kept.

    Raises `InputError`, as an extraction.
    """
    total, progress = len(spec.dataset.samples), workplace.progress
    with at_work(workplace.store.root):
        work = Extraction(workplace, spec)
        start, unseen = 0, 0
        for made in work.run():
            unseen += made
            if unseen >= max(size, total // LOOKS):
                unseen, ready = 0, _ready(work, start) // size * size
                yield from _parts(work, start, start + ready, size)
                start += ready
        say_bad(list(work.lost().values()), spec.dataset, progress)
        progress.start("read features", total - start)
        for part in _parts(work, start, total, size):
            yield part
            progress.advance(part.stop - part.start)


def wide_parts(workplace: Workplace, specs: Sequence[ExtractSpec], size: int) -> Iterator[PoolPart]:
    """The same by several encoders, one spec each of the same images: wide features of those that all of them can use."""
    if len(specs) == 1:
        yield from pool_parts(workplace, specs[0], size)
        return
    for parts in zip(*(pool_parts(workplace, spec, size) for spec in specs), strict=True):
        bad = {row: error for part in parts for row, error in part.bad.items()}
        lost = np.asarray(list(bad), np.int64)
        places = np.arange(parts[0].stop - parts[0].start)
        # Of each encoder's rows those that no other one lost.
        kept = [~np.isin(np.setdiff1d(places, np.asarray(list(part.bad), np.int64)), lost) for part in parts]
        features = [part.features[rows] for part, rows in zip(parts, kept, strict=True)]
        wide = side_by_side(features) if len(bad) < len(places) else np.empty((0, 0), np.float32)
        yield PoolPart(parts[0].start, parts[0].stop, wide, bad)


def pool_features(workplace: Workplace, spec: ExtractSpec, size: int = 1 << 14) -> PoolFeatures:
    """All of `pool_parts` at once. Raises what that raises."""
    parts = list(pool_parts(workplace, spec, size))
    bad = {part.start + row: error for part in parts for row, error in part.bad.items()}
    good = np.setdiff1d(np.arange(len(spec.dataset.samples)), np.asarray(list(bad), np.int64))
    features = np.concatenate([part.features for part in parts if len(part.features)])
    return PoolFeatures(spec.dataset.samples.take(good), features, list(bad.values()))


def _ready(work: Extraction, start: int) -> int:
    """How many samples from `start` on, without a gap, are known to be bad or have their features in the store."""
    contents = known_contents(work.samples)[start:]
    there = (contents != b"") & work.library.has(contents, 0)
    there[[row - start for row in work.lost(start)]] = True
    return len(there) if there.all() else int(there.argmin())


def _parts(work: Extraction, start: int, stop: int, size: int) -> Iterator[PoolPart]:
    lost, contents = work.lost(start, stop), known_contents(work.samples)[start:stop]
    rows, good = np.asarray(list(lost), np.int64), np.ones(stop - start, bool)
    good[rows - start] = False
    firsts, contents = range(start, stop, size), contents[good]
    counts = [int(good[first - start : first - start + size].sum()) for first in firsts]
    blocks = work.library.plain.stream(digest_keys(contents, np.zeros(len(contents), np.int64)), counts)
    for first, features in zip(firsts, blocks, strict=True):
        last = min(first + size, stop)
        own = rows[np.searchsorted(rows, first) : np.searchsorted(rows, last)].tolist()
        yield PoolPart(first, last, features, {row - first: lost[row] for row in own})
