"""How much of an index a search for near duplicates has to look at: as much as finds copies that are as far away as these may be.

A copy lies beside its original, so that a few lists of an index hold nearly all of them. To have the nearest images of every image, which
need not be alike, would take many times as long.
"""

from __future__ import annotations

import numpy as np

from xmap.stages.build_cache.recall import double_effort
from xmap.stages.fewshot.draw import even_rows
from xmap.stages.pairs.contents import Units
from xmap.store.formats.index import VectorIndex
from xmap.store.formats.tables import Array

# The nearest images of a split that are looked at; of how many images a copy is tried, and the share of copies that is to be found.
NEAREST = 5
COPIES, FOUND = 1_000, 0.99


def see_copies(index: VectorIndex, units: Units, threshold: float) -> None:
    """Set the effort of `index` over `units` to the least power of two that finds `FOUND` of copies at the cosine `threshold`."""
    if index.effort is None:
        return
    index.effort = 1
    rows = even_rows(len(units), COPIES)
    copies = moved(units.take(rows), threshold)
    double_effort(index, FOUND, lambda: float((index.search(copies, NEAREST + 1).rows == rows[:, None]).any(axis=1).mean()))


def moved(vectors: Array, threshold: float) -> Array:
    """Unit `vectors` (Q, C), each turned towards the next until its cosine with what it was is `threshold`.

    Towards another image and not at random: what changes a picture moves it where pictures lie, across the borders between lists.
    """
    others = np.roll(vectors, 1, axis=0)
    away = others - (others * vectors).sum(axis=1, keepdims=True) * vectors
    away /= np.linalg.norm(away, axis=1, keepdims=True).clip(min=1e-12)
    found: Array = threshold * vectors + np.sqrt(max(1.0 - threshold**2, 0.0)) * away
    return found
