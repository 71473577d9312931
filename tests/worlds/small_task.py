"""Small tasks, finite differences and plain NumPy helpers for the tests of single methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from tests.worlds.few_shot import random_labelled, random_support, random_text, unit
from xmap.stages.fewshot.task import FewShotTask, Labelled
from xmap.stages.methods.fitting.epochs import Batch

Array = np.ndarray
WIDTH = 6


def small_task(counts: Sequence[int], seed: int = 0, views: int = 1, validation: bool = False) -> FewShotTask:
    """A random task with `counts[c]` samples of class c."""
    random = np.random.default_rng(seed)
    text, support = random_text(len(counts), WIDTH, random), random_support(counts, WIDTH, random, views=views)
    held = random_labelled(12, len(counts), WIDTH, random) if validation else None
    return FewShotTask(text, support, held, seed, "validation" if validation else "nothing (fixed defaults)")


def queries(task: FewShotTask, total: int = 5, seed: int = 9) -> Labelled:
    return random_labelled(total, task.text.classes, WIDTH, np.random.default_rng(seed))


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


__all__ = ["Array", "batch_of", "close", "cross_entropy", "double", "queries", "slopes", "small_task", "softmax", "unit"]
