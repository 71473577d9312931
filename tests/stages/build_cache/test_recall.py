"""Recall against Flat, beside a slow reference."""

from __future__ import annotations

import numpy as np
import pytest

from tests.worlds.few_shot import unit
from xmap.stages.build_cache.recall import nearest_exactly, nearest_others_exactly, raise_effort, recall
from xmap.store.formats.index import VectorIndex


def keys(total: int, width: int = 16) -> np.ndarray:
    return unit(np.random.default_rng(0).normal(size=(total, width))).astype(np.float32)


@pytest.mark.parametrize("cuts", [[], [1], [5, 5, 80]])
def test_the_exact_neighbours_are_those_of_a_sort(cuts: list[int]) -> None:
    stored, rows = keys(100), np.asarray([0, 3, 99])
    queries, found = nearest_others_exactly(lambda: np.split(stored, cuts), rows, 10)
    np.testing.assert_array_equal(queries, stored[rows])
    for own, near in zip(rows, found.rows, strict=True):
        order = [row for row in np.argsort(-(stored[own] @ stored.T)) if row != own]
        assert near.tolist() == order[:10]


def test_flat_finds_all_and_effort_is_raised_no_further_than_needed() -> None:
    stored = keys(2000)
    assert raise_effort(VectorIndex.build(stored), lambda: [stored], 1.0) == 1.0
    efforts = []
    for wanted in (0.1, 0.9, 1.0):
        index = VectorIndex.build(stored, "IVF32,Flat")
        assert raise_effort(index, lambda: [stored], wanted) >= wanted
        efforts.append(index.effort)
    assert efforts == sorted(efforts)
    assert efforts[0] < efforts[-1] == 32


def test_what_coarse_codes_cannot_find_is_told_as_it_is() -> None:
    stored = keys(2000)
    assert raise_effort(VectorIndex.build(stored, "IVF4,PQ2"), lambda: [stored], 1.0) < 0.9


def test_a_lone_key_has_no_neighbour_to_miss() -> None:
    stored = keys(1)
    queries, exact = nearest_others_exactly(lambda: [stored], np.asarray([0]), 10)
    assert exact.rows.shape == (1, 0)
    assert recall(VectorIndex.build(stored), queries, np.asarray([0]), exact) == 1.0


def test_effort_that_finds_hardly_more_is_taken_back() -> None:
    centers = keys(8)
    stored = np.repeat(centers, 200, axis=0) + 0.01 * np.random.default_rng(1).normal(size=(1600, 16)).astype(np.float32)
    index = VectorIndex.build(stored, "IVF64,PQ2")
    found = raise_effort(index, lambda: [stored], 1.0)
    assert found < 1.0
    assert index.effort is not None
    assert index.effort < index.most_effort


def test_queries_from_outside_meet_every_key() -> None:
    stored, queries = keys(300), keys(40)[30:] + 0.1
    own = np.full(10, -1)
    found = nearest_exactly(lambda: np.split(stored, [7, 250]), queries, own, 5)
    np.testing.assert_array_equal(found.rows, np.argsort(-(queries @ stored.T), axis=1)[:, :5])
    assert nearest_exactly(lambda: [stored], queries, own, 1000).rows.shape == (10, 300)
    index = VectorIndex.build(stored, "IVF16,Flat")
    assert raise_effort(index, lambda: [stored], 0.9, queries) >= 0.9
