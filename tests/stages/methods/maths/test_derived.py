"""Class directions of an encoder without texts, beside NumPy."""

from __future__ import annotations

import numpy as np
import torch

from tests.worlds.small_task import close, double
from tests.worlds.two_encoders import seen_twice
from xmap.stages.methods.maths.derived import Directions, derived_spaces, derived_weights, directions, ridge_map
from xmap.stages.methods.maths.discriminant import RIDGES


def test_the_ridge_is_the_best_at_images_left_out() -> None:
    random = np.random.default_rng(0)
    inputs, targets = random.normal(size=(9, 4)), random.normal(size=(9, 3))
    unit = np.trace(inputs.T @ inputs) / 4

    def by(ridge: float, rows: np.ndarray) -> np.ndarray:
        known = inputs[rows]
        found: np.ndarray = np.linalg.solve(known.T @ known + ridge * unit * np.eye(4), known.T @ targets[rows])
        return found

    def error(ridge: float) -> float:
        others = [np.arange(9) != row for row in range(9)]
        return sum(float(np.sum((targets[~rows] - inputs[~rows] @ by(ridge, rows)) ** 2)) for rows in others)

    best = min(RIDGES, key=error)
    close(ridge_map(torch.from_numpy(inputs), torch.from_numpy(targets)), by(best, np.full(9, True)))


def test_directions_lie_where_the_second_encoder_sees_the_classes() -> None:
    task = seen_twice(4, spread=0.1)
    other = task.support.part(task.widths, 1)
    found = directions(task.part(0), other)
    means = np.stack([double(other.keys)[task.support.labels == label].mean(0) for label in range(8)])
    np.testing.assert_allclose(double(found.center), means.mean(0), atol=1e-6)
    toward = means - means.mean(0)
    cosines = (double(found.mapped) * toward).sum(1) / np.linalg.norm(found.mapped, axis=1) / np.linalg.norm(toward, axis=1)
    assert cosines.min() > 0.9


def test_derived_weights_are_unit_and_say_nothing_of_what_all_images_share() -> None:
    random = np.random.default_rng(1)
    found = Directions(torch.from_numpy(random.normal(size=5)), torch.from_numpy(random.normal(size=(3, 5))), torch.zeros(3))
    weights = derived_weights(found).double()
    torch.testing.assert_close(weights.norm(dim=1), torch.ones(3, dtype=torch.float64), rtol=1e-6, atol=1e-6)
    assert float((weights @ found.center).abs().max()) < 1e-6


def test_a_class_without_images_has_its_place_by_its_text() -> None:
    task = seen_twice(3, spread=0.1)
    full = directions(task.part(0), task.support.part(task.widths, 1))
    without = task.fold(torch.nonzero(task.support.labels == 2).flatten())
    found = directions(without.part(0), without.support.part(task.widths, 1))
    expected = full.mapped[2] + full.center - found.center
    assert float(torch.cosine_similarity(found.mapped[2], expected, dim=0)) > 0.7
    spaces = derived_spaces(without.part(0), without.support.part(task.widths, 1), "split")
    assert spaces.text_keys.shape == (8, 6)
    assert bool(torch.isfinite(spaces.text_keys).all())
