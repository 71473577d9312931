"""The space of a cache against a slow NumPy version, and where it has nothing to learn from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xmap.stages.fewshot.space import SHRINK, Space
from xmap.stages.fewshot.task import Segments
from xmap.store.formats.tables import Array


def unit(rows: int, seed: int, width: int = 6) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.from_numpy(np.random.default_rng(seed).normal(size=(rows, width))).float(), dim=1)


def slow(keys: Array, labels: Array, features: Array) -> Array:
    """Cosines of features to classes by an eigenvector root of the shrunk covariance, class by class."""
    width, classes = keys.shape[1], sorted(set(labels.tolist()))
    means = {label: keys[labels == label].mean(0) for label in classes}
    deviations = np.array([key - means[label] for key, label in zip(keys, labels.tolist(), strict=True)])
    freedom = len(keys) - len(classes)
    trust = width / (width + SHRINK * freedom)
    within = (1 - trust) * deviations.T @ deviations / freedom + trust * (deviations**2).sum() / freedom / width * np.eye(width)
    values, vectors = np.linalg.eigh(within)
    root = vectors / np.sqrt(values)
    center = np.mean(list(means.values()), axis=0)
    queries, found = (features - center) @ root, np.zeros((len(features), int(labels.max()) + 1))
    for label, mean in means.items():
        there = (mean - center) @ root
        found[:, label] = queries @ there / np.linalg.norm(queries, axis=1) / np.linalg.norm(there)
    return found


@pytest.mark.parametrize("labels", [[0] * 5 + [1] * 3 + [2] * 4, [0] * 5 + [2] * 7], ids=["even", "a class without keys"])
def test_cosines_are_those_of_the_slow_version_however_keys_come(labels: list[int]) -> None:
    keys, features, of = unit(len(labels), 0), unit(9, 1), torch.tensor(labels)
    segments = Segments.of(of, 3, 5)
    whole, parts = Space.of([keys], segments), Space.of([keys[:4], keys[4:]], segments)
    wanted = slow(keys.numpy().astype(np.float64), of.numpy(), features.numpy().astype(np.float64))
    np.testing.assert_allclose(whole.cosines(features).numpy(), wanted, atol=1e-5)
    np.testing.assert_allclose(parts.cosines(features).numpy(), wanted, atol=1e-5)


@pytest.mark.parametrize("copies", [1, 3])
def test_one_key_a_class_or_the_same_one_again_gives_finite_cosines(copies: int) -> None:
    keys = unit(3, 0).repeat_interleave(copies, 0)
    found = Space.of([keys], Segments.of(torch.arange(3).repeat_interleave(copies), 3, copies)).cosines(unit(4, 1))
    assert bool(torch.isfinite(found).all())
    assert float(found.abs().max()) <= 1 + 1e-5
