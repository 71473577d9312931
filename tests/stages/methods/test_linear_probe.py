"""ZS-LP against NumPy: one step of SGD from the zero-shot weights, and the second with momentum and cosine decay."""

from __future__ import annotations

import pytest

from tests.worlds.few_shot import SCALE
from tests.worlds.small_task import Array, close, cross_entropy, double, queries, slopes, small_task, unit
from xmap.stages.methods import linear_probe
from xmap.stages.methods.options import LinearProbeOptions
from xmap.stages.methods.protocol import Cache, NoLog


@pytest.mark.parametrize("steps", [1, 2])
def test_full_batch_steps(steps: int) -> None:
    task = small_task([2, 1, 3])
    keys, labels = double(task.support.keys), task.support.labels.numpy()

    def loss(weights: Array) -> float:
        return cross_entropy(SCALE * keys @ unit(weights).T, labels)

    weights = double(task.text.weights)
    speed = 0.0 * weights
    for number in range(steps):
        speed = 0.9 * speed + slopes(loss, weights)
        weights = weights - 1e-2 * (0.5 if number == 1 else 1.0) * speed
    fitted = linear_probe.fit(task, LinearProbeOptions(epochs=steps, batch_size=6, learning_rate=1e-2), None, NoLog())
    close(fitted.tensors["weights"], weights)
    asked = queries(task)
    scores = linear_probe.scores(fitted, Cache(task.text, task.support.segments), asked.features)
    close(scores.logits, SCALE * double(asked.features) @ unit(weights).T)
