"""CLAP against NumPy: its multipliers, and two steps of SGD on its penalised loss."""

from __future__ import annotations

import numpy as np

from tests.worlds.few_shot import SCALE
from tests.worlds.small_task import Array, close, cross_entropy, double, slopes, small_task, softmax, unit
from xmap.stages.methods import clap
from xmap.stages.methods.options import ClapOptions
from xmap.stages.methods.protocol import NoLog


def slow_multipliers(views: Array, labels: Array, texts: Array) -> Array:
    found = np.ones(len(texts))
    for label in range(len(texts)):
        rows = unit(views[labels == label].reshape(-1, views.shape[2]))
        if len(rows):
            found[label] = softmax(SCALE * rows @ texts.T)[:, label].mean()
    return found


def test_multipliers_are_mean_zero_shot_chances_and_one_without_support() -> None:
    task = small_task([2, 0, 3], views=3)
    expected = slow_multipliers(double(task.support.views), task.support.labels.numpy(), double(task.text.weights))
    close(clap.class_multipliers(task), expected)
    assert expected[1] == 1.0


def test_two_steps() -> None:
    task = small_task([2, 1, 3])
    keys, labels, texts = double(task.support.keys), task.support.labels.numpy(), double(task.text.weights)
    multipliers = slow_multipliers(double(task.support.views), labels, texts)

    def loss(weights: Array) -> float:
        distance = ((weights - texts) ** 2).sum(axis=1)
        return cross_entropy(SCALE * keys @ unit(weights).T, labels) + 7.0 * float(np.mean(multipliers * distance))

    first = slopes(loss, texts)
    weights = texts - 1e-2 * first
    weights = weights - 0.5e-2 * (0.9 * first + slopes(loss, weights))
    options = ClapOptions(epochs=2, batch_size=6, learning_rate=1e-2, strength=7.0)
    close(clap.fit(task, options, None, NoLog()).tensors["weights"], weights)
