"""The order of a pool: beside a slow version, and the laws that any order holds."""

from __future__ import annotations

import numpy as np
import pytest

from xmap.stages.choose.ranking import ScoredPool, nearest, order, unsureness
from xmap.store.formats.tables import Array

CLASSES, WIDTH = 4, 12


def unit(vectors: Array) -> Array:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)


def pool(seed: int, images: int = 30, labelled: int = 5) -> ScoredPool:
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(images, CLASSES)) * 2.0
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    features = unit(draw.normal(size=(images + labelled, WIDTH)) + 2.0)
    return ScoredPool(features[:images], probabilities.astype(np.float32), None, None, features[images:])


def slow(given: ScoredPool, n: int) -> list[int]:
    """The formula of the module, an image at a time in float64."""
    features = given.features.astype(np.float64)
    center = features.mean(0)
    known = [row - center for row in given.labelled.astype(np.float64)]
    chosen: list[int] = []
    for _ in range(n):
        worth = {}
        for row, feature in enumerate(features):
            if row not in chosen:
                away = feature - center
                nearness = max((away @ other / np.linalg.norm(away) / np.linalg.norm(other) for other in known), default=-1.0)
                second, first = sorted(given.probabilities[row].astype(np.float64))[-2:]
                worth[row] = (1.0 - (first - second)) * (1.0 - nearness)
        chosen.append(max(worth, key=lambda row: worth[row]))
        known.append(features[chosen[-1]] - center)
    return chosen


@pytest.mark.parametrize("labelled", [0, 1, 5])
@pytest.mark.parametrize("seed", range(4))
def test_the_order_is_that_of_the_formula(seed: int, labelled: int) -> None:
    given = pool(seed, labelled=labelled)
    assert order(given, 12, 1).tolist() == slow(given, 12)


def test_an_order_names_each_row_once_and_starts_alike_however_long_it_is() -> None:
    given = pool(1)
    whole = order(given, 99, 1)
    assert sorted(whole.tolist()) == list(range(30))
    assert order(given, 7, 1).tolist() == whole[:7].tolist()
    assert order(given, 0, 1).tolist() == []


def test_the_order_of_the_pool_and_of_the_labelled_has_no_say() -> None:
    given, turned = pool(2), np.random.default_rng(5).permutation(30)
    other = ScoredPool(given.features[turned], given.probabilities[turned], None, None, given.labelled[::-1])
    assert turned[order(other, 15, 1)].tolist() == order(given, 15, 1).tolist()


def test_the_seed_decides_among_equals_alone() -> None:
    given = pool(3)
    assert order(given, 30, 1).tolist() == order(given, 30, 2).tolist()
    alike = ScoredPool(
        np.repeat(given.features[:1], 30, axis=0), np.repeat(given.probabilities[:1], 30, axis=0), None, None, given.labelled
    )
    assert order(alike, 3, 1).tolist() == order(alike, 3, 1).tolist() != order(alike, 3, 2).tolist()


def test_what_is_there_already_comes_last() -> None:
    """Twins of each other, and of what is labelled, however unsure the adapter is of them."""
    given = pool(4)
    features, probabilities = given.features.copy(), given.probabilities.copy()
    features[1], features[2], features[3] = features[0], features[0], given.labelled[2]
    probabilities[:4] = 1 / CLASSES
    # Even one that the adapter is quite sure of is worth more.
    probabilities[9] = np.eye(CLASSES)[0]
    ranked = order(ScoredPool(features, probabilities, None, None, given.labelled), 30, 1).tolist()
    assert set(ranked[-3:]) - {3} < {0, 1, 2}
    assert 3 in ranked[-3:]


def test_unsure_images_come_before_sure_ones_and_differ() -> None:
    """Two groups of unsure images and one of sure ones: the batch takes one of each unsure group first."""
    draw = np.random.default_rng(6)
    centers = unit(draw.normal(size=(3, WIDTH)))
    features = unit(np.repeat(centers, 10, axis=0) + 0.02 * draw.normal(size=(30, WIDTH)))
    probabilities = np.repeat([[0.4, 0.4, 0.1, 0.1], [0.1, 0.1, 0.4, 0.4], [0.97, 0.01, 0.01, 0.01]], 10, axis=0)
    first = order(ScoredPool(features, probabilities, None, None, features[:0]), 2, 1)
    assert set((first // 10).tolist()) == {0, 1}


def test_unsureness_is_one_minus_the_margin() -> None:
    assert unsureness(np.array([[0.5, 0.5], [1.0, 0.0], [0.3, 0.7]])) == pytest.approx([1.0, 0.0, 0.6])


def test_the_nearest_is_found_in_pieces_too(monkeypatch: pytest.MonkeyPatch) -> None:
    given = pool(7)
    expected = (given.features @ given.labelled.T).max(1)
    monkeypatch.setattr("xmap.stages.choose.ranking.CHUNK", 4)
    assert nearest(given.features, given.labelled) == pytest.approx(expected)
    assert nearest(given.features, given.labelled[:0]).tolist() == [-1.0] * 30
