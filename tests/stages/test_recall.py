"""Recall against Flat, beside a slow reference."""

from __future__ import annotations

import numpy as np
import pytest

from stages.recall import nearest_others_exactly, raise_effort, recall
from store.index import Neighbors, VectorIndex
from tests.stages.few_shot_world import unit


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


def test_effort_that_finds_nothing_more_is_taken_back() -> None:
    stored = keys(2000)
    index = VectorIndex.build(stored, "IVF32,PQ2")
    found = raise_effort(index, lambda: [stored], 1.0)
    assert index.effort is not None
    assert index.effort < index.most_effort
    index.effort *= 2
    rows = np.unique(np.linspace(0, 1999, 500).astype(np.int64))
    assert recall(index, *nearest_of(stored, rows)) <= found


def nearest_of(stored: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, Neighbors]:
    queries, exact = nearest_others_exactly(lambda: [stored], rows, 10)
    return queries, rows, exact
