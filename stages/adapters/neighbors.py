"""The cached images nearest to a sample, and what each means to a method."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from xmap.store.formats.index import Neighbors, VectorIndex
from xmap.store.formats.log import NeighborColumn, Values
from xmap.store.formats.tables import Array

if TYPE_CHECKING:
    from xmap.stages.methods.protocol import Settings

# Samples that are scored at a time.
BATCH = 1024


def batches(total: int, size: int) -> Iterator[slice]:
    """Slices of `size` rows over `total`."""
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))


def nearest_others(index: VectorIndex, queries: Array, k: int, rows: Array) -> Neighbors:
    """The `k` nearest other keys of the index's own keys `queries` (Q, C), those at `rows` (Q,): (Q, at most M - 1)."""
    found = index.search(queries, k + 1)
    own = found.rows == rows[:, None]
    # The own key goes last (in a crowd of duplicates it may not be among those found: then the last one goes).
    order = np.argsort(own, axis=1, kind="stable")[:, : min(k, max(len(index) - 1, 0))]
    return Neighbors(np.take_along_axis(found.scores, order, 1), np.take_along_axis(found.rows, order, 1))


def agreement(found: Neighbors, cached: Values, labels: Array) -> Array:
    """The share (B,) float32 of the found keys whose label is the sample's; NaN where nothing was found."""
    there = found.rows >= 0
    same = there & (cached.labels[found.rows.clip(min=0)] == labels[:, None])
    total = there.sum(1)
    shares: Array = np.divide(same.sum(1), total, out=np.full(len(labels), np.nan), where=total > 0).astype(np.float32)
    return shares


def key_affinity(found: Neighbors, settings: Settings) -> Array:
    """What a sample and each found key mean to a method: `exp(-beta (1 - cosine))` with its beta, else the cosine."""
    if "beta" not in settings:
        return found.scores
    values: Array = np.exp(-float(settings["beta"]) * (1.0 - found.scores))
    return values


def neighbor_column(found: Neighbors, settings: Settings, cached: Values) -> NeighborColumn:
    """The found keys of each sample with their affinities, nearest first."""
    return NeighborColumn(found.rows, key_affinity(found, settings), cached.sample_ids, cached.labels)
