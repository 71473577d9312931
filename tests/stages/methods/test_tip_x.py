"""Tip-X against NumPy: pairwise KL over classes, rescaling, and all three terms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.worlds.few_shot import SCALE
from tests.worlds.small_task import Array, close, double, queries, small_task, softmax
from xmap.stages.fewshot.task import Retrieved
from xmap.stages.methods import tip_x
from xmap.stages.methods.options import TipXOptions
from xmap.stages.methods.protocol import Cache, NoLog

CHOSEN = {"alpha": 0.7, "beta": 3.0, "gamma": 0.4, "temperature": 0.5}
RANGES = {"kl_low": 0.01, "kl_high": 1.3, "similarity_low": -0.6, "similarity_high": 0.9}


def slow_kl(features: Array, keys: Array, texts: Array, temperature: float) -> Array:
    first, second = softmax(features @ texts.T / temperature), softmax(keys @ texts.T / temperature)
    return np.asarray([[sum(p * (np.log(p) - np.log(q))) for q in second] for p in first])


@pytest.mark.parametrize("counts", [[3, 3, 3], [3, 1, 2]])
def test_logits_are_the_published_ones_up_to_a_constant(counts: list[int]) -> None:
    task = small_task(counts)
    asked = queries(task)
    features, keys, texts = double(asked.features), double(task.support.keys), double(task.text.weights)
    scaled = (slow_kl(features, keys, texts, 0.5) - RANGES["kl_low"]) / (RANGES["kl_high"] - RANGES["kl_low"])
    scaled = scaled * (RANGES["similarity_high"] - RANGES["similarity_low"]) + RANGES["similarity_low"]
    values = 0.7 * np.exp(-3.0 * (1 - features @ keys.T)) - 0.4 * scaled
    labels = task.support.labels.numpy()
    sums = np.stack([values[:, labels == label].mean(axis=1) * 3 for label in range(3)], axis=1)
    expected = SCALE * features @ texts.T + sums
    fitted = tip_x.fit(task, TipXOptions(), {**CHOSEN, **RANGES}, NoLog())
    found = tip_x.scores(fitted, Cache(task.text, task.support.segments), asked.features).logits
    close(found - 0.4 * 3 * RANGES["similarity_high"], expected)


@pytest.mark.parametrize("validation", [True, False])
def test_ranges_are_those_of_the_pairs(validation: bool) -> None:
    task = small_task([3, 1, 2], validation=validation)
    keys, texts = double(task.support.keys), double(task.text.weights)
    asked = double(task.validation.features) if task.validation else keys
    apart = np.ones((len(asked), len(keys)), bool) if validation else ~np.eye(len(keys), dtype=bool)
    kl, similarity = slow_kl(asked, keys, texts, 0.5)[apart], (asked @ keys.T)[apart]
    tensors = {"keys": task.support.keys, "log_partition": tip_x.log_partition(task.support.keys, task.text, 0.5)}
    found = tip_x.ranges(task, tensors, 0.5)
    expected = {"kl_low": kl.min(), "kl_high": kl.max(), "similarity_low": similarity.min(), "similarity_high": similarity.max()}
    assert found == pytest.approx(expected, abs=1e-5)


def test_all_keys_retrieved_is_the_dense_formula() -> None:
    task = small_task([3, 1, 2])
    fitted, cache = tip_x.fit(task, TipXOptions(), {**CHOSEN, **RANGES}, NoLog()), Cache(task.text, task.support.segments)
    features = queries(task).features
    scores, rows = (features @ task.support.keys.T).sort(descending=True)
    dense = tip_x.scores(fitted, cache, features).logits
    assert torch.allclose(tip_x.scores(fitted, cache, features, Retrieved(scores, rows)).logits, dense, atol=1e-4)
