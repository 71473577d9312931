"""LP++ against NumPy: start, rates, and the block gradient steps."""

from __future__ import annotations

import numpy as np
import pytest

from tests.worlds.few_shot import SCALE
from tests.worlds.small_task import Array, close, cross_entropy, double, queries, slopes, small_task
from xmap.stages.fewshot.task import FewShotTask
from xmap.stages.methods import lp_plus_plus
from xmap.stages.methods.options import LpPlusPlusOptions
from xmap.stages.methods.protocol import Cache, NoLog


def slow_start(task: FewShotTask) -> tuple[Array, Array, float, float]:
    keys, labels, texts = double(task.support.keys), task.support.labels.numpy(), double(task.text.weights)
    sums = np.stack([keys[labels == label].sum(axis=0) for label in range(len(texts))])
    aligned = [np.mean(keys[labels == label] @ texts[label]) for label in range(len(texts)) if (labels == label).any()]
    text = np.full(len(texts), 250 * SCALE / 100 * np.mean(aligned))
    rate = float(4 * len(keys) / np.linalg.norm(keys, 2) ** 2)
    return sums, text, rate, len(keys) / (4 * max(((keys @ texts.T) ** 2).sum(axis=0)))


def slow_logits(features: Array, texts: Array, weights: Array, text: Array) -> Array:
    return features @ weights.T + text * (features @ texts.T)


@pytest.mark.parametrize("counts", [[2, 1, 3], [2, 0, 2]])
def test_start_and_rates_come_from_the_data(counts: list[int]) -> None:
    task = small_task(counts)
    weights, text, weight_rate, text_rate = slow_start(task)
    start = lp_plus_plus.start_tensors(task)
    close(start["weights"], weights)
    close(start["text_weights"], text)
    assert lp_plus_plus.rates(task) == pytest.approx((weight_rate, text_rate), rel=1e-5)


def test_block_steps() -> None:
    task = small_task([2, 1, 3])
    keys, labels, texts = double(task.support.keys), task.support.labels.numpy(), double(task.text.weights)
    weights, text, weight_rate, text_rate = slow_start(task)
    speed = 0.0 * weights
    for number in (1, 2, 3, 4):
        gradient = slopes(lambda x: cross_entropy(slow_logits(keys, texts, x, text), labels), weights)  # noqa: B023
        text_gradient = slopes(lambda x: cross_entropy(slow_logits(keys, texts, weights, x), labels), text)  # noqa: B023
        speed = 0.9 * speed + gradient
        weights = weights - weight_rate * speed
        text = text - text_rate * text_gradient * (number % 2 == 0)
    fitted = lp_plus_plus.fit(task, LpPlusPlusOptions(epochs=4, text_every=2), None, NoLog())
    close(fitted.tensors["weights"], weights)
    close(fitted.tensors["text_weights"], text)
    asked = queries(task)
    scores = lp_plus_plus.scores(fitted, Cache(task.text, task.support.segments), asked.features)
    close(scores.logits, slow_logits(double(asked.features), texts, weights, text))
