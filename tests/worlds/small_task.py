"""Small tasks, finite differences and plain NumPy helpers for the tests of single methods."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from tests.worlds.few_shot import unit
from xmap.stages.fewshot.task import FewShotTask, Labelled
from xmap.stages.methods.fitting.epochs import Batch
from xmap.testing import WIDTH, queries, small_task

Array = np.ndarray


def batch_of(task: FewShotTask, labelled: Labelled) -> Batch:
    return Batch(torch.zeros(len(labelled), dtype=torch.int64), labelled.features, labelled.labels, 1)


def double(tensor: torch.Tensor) -> Array:
    return tensor.detach().double().numpy()


def softmax(logits: Array) -> Array:
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    return chances / chances.sum(axis=1, keepdims=True)


def cross_entropy(logits: Array, labels: Array) -> float:
    return float(-np.mean(np.log(softmax(logits)[np.arange(len(labels)), labels])))


def slopes(loss: Callable[[Array], float], at: Array, size: float = 1e-5) -> Array:
    """Central differences of `loss` in every entry."""
    found = np.zeros_like(at)
    for place in np.ndindex(*at.shape):
        moved = np.zeros_like(at)
        moved[place] = size
        found[place] = (loss(at + moved) - loss(at - moved)) / (2 * size)
    return found


def close(found: torch.Tensor | Array, expected: Array, tolerance: float = 1e-5) -> None:
    """Equal to 1e-5 of the largest entry."""
    values = found.detach().numpy() if isinstance(found, torch.Tensor) else found
    assert values.shape == expected.shape
    np.testing.assert_allclose(values, expected, rtol=0, atol=tolerance * max(1.0, float(np.abs(expected).max())))


__all__ = ["WIDTH", "Array", "batch_of", "close", "cross_entropy", "double", "queries", "slopes", "small_task", "softmax", "unit"]
