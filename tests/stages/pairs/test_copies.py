"""The effort of an index over many images: copies are found, and no more is searched than that takes."""

from __future__ import annotations

from tempfile import TemporaryFile
from typing import cast

import numpy as np
import pytest

from xmap.stages.build_cache.recall import raise_effort
from xmap.stages.pairs.contents import Images, Units
from xmap.stages.pairs.copies import FOUND, NEAREST, moved, see_copies
from xmap.store.formats.index import VectorIndex
from xmap.store.formats.tables import Array


class Some:
    """Images that are there as unit vectors alone."""

    def __init__(self, vectors: Array) -> None:
        self._vectors, self.first = vectors, np.arange(len(vectors))

    def units(self) -> list[Array]:
        return [self._vectors]


def unit(vectors: Array) -> Array:
    found: Array = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return found


@pytest.mark.parametrize("threshold", [1.0, 0.99, 0.5, -0.2])
def test_a_moved_vector_has_the_cosine_asked_for_and_length_one(threshold: float) -> None:
    vectors = unit(np.random.default_rng(1).normal(size=(9, 16)))
    copies = moved(vectors, threshold)
    assert np.allclose((copies * vectors).sum(axis=1), threshold, atol=1e-6)
    assert np.allclose(np.linalg.norm(copies, axis=1), 1, atol=1e-6)


def test_vectors_that_are_all_one_move_nowhere() -> None:
    vectors = unit(np.ones((3, 4)))
    assert np.allclose(moved(vectors, 0.9), 0.9 * vectors)


@pytest.mark.parametrize("threshold", [0.98, 0.9])
def test_copies_are_found_with_less_effort_than_the_nearest_of_all(threshold: float) -> None:
    draw = np.random.default_rng(2)
    # No heaps: the nearest of an image lie anywhere.
    vectors = unit(draw.normal(size=(20_000, 32)))
    index = VectorIndex.build(vectors, "IVF256,Flat")
    raise_effort(index, lambda: [vectors], 0.95)
    everywhere = index.effort
    with TemporaryFile() as scratch:
        see_copies(index, Units(cast(Images, Some(vectors)), scratch), threshold)
    assert index.effort is not None
    assert everywhere is not None
    assert index.effort <= everywhere / 4
    rows = draw.permutation(len(vectors))[:2_000]
    found = index.search(moved(vectors[rows], threshold), NEAREST + 1).rows
    assert (found == rows[:, None]).any(axis=1).mean() >= FOUND - 0.01


def test_an_exact_index_has_nothing_to_set() -> None:
    index = VectorIndex.build(unit(np.eye(4)))
    with TemporaryFile() as scratch:
        see_copies(index, Units(cast(Images, Some(unit(np.eye(4)))), scratch), 0.9)
    assert index.effort is None
