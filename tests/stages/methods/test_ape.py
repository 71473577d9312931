"""APE against NumPy: the channel criterion pair by pair, and the logits."""

from __future__ import annotations

import numpy as np
import pytest

from tests.worlds.few_shot import SCALE
from tests.worlds.small_task import Array, close, double, queries, small_task, softmax, unit
from xmap.stages.fewshot.task import FewShotTask, Retrieved
from xmap.stages.methods import ape
from xmap.stages.methods.options import ApeOptions
from xmap.stages.methods.protocol import Cache, NoLog

CHOSEN = {"channels": 0.5, "alpha": 0.7, "beta": 3.0, "gamma": 0.2}


def slow_criterion(task: FewShotTask, share: float, with_keys: bool) -> Array:
    keys, labels, texts = double(task.support.keys), task.support.labels.numpy(), double(task.text.weights)
    vectors = [(label, text) for label, text in enumerate(texts)]
    if with_keys:
        vectors += list(zip(labels.tolist(), keys, strict=True))
    products = [one * other for first, one in vectors for second, other in vectors if first != second]
    return -share * np.mean(products, axis=0) + (1 - share) * texts.var(axis=0, ddof=1)


@pytest.mark.parametrize("with_keys", [True, False])
@pytest.mark.parametrize("counts", [[2, 2, 2], [3, 1, 2], [2, 0, 1]])
def test_channels_are_ranked_by_the_criterion(counts: list[int], with_keys: bool) -> None:
    task = small_task(counts)
    order = ape.channel_order(task, 0.7, with_keys)
    assert order.tolist() == np.argsort(-slow_criterion(task, 0.7, with_keys)).tolist()


@pytest.mark.parametrize("counts", [[2, 2, 2], [3, 1, 2]])
def test_logits_are_the_published_ones(counts: list[int]) -> None:
    task = small_task(counts)
    asked = queries(task)
    features, keys, texts = double(asked.features), double(task.support.keys), double(task.text.weights)
    channels = np.argsort(-slow_criterion(task, 0.7, True))[:3]
    short, short_keys, short_texts = unit(features[:, channels]), unit(keys[:, channels]), unit(texts[:, channels])
    one_hot = np.eye(3)[task.support.labels.numpy()]
    divergence = (one_hot * np.log2((one_hot + 1e-6) / (softmax(short_keys @ short_texts.T) + 1e-6))).sum(axis=1, keepdims=True)
    values = one_hot * np.exp(0.2 * divergence) * max(counts) / one_hot.sum(axis=0)
    expected = SCALE * features @ texts.T + 0.7 * np.exp(-3.0 * (1 - short @ short_keys.T)) @ values
    fitted, cache = ape.fit(task, ApeOptions(similarity=0.7), CHOSEN, NoLog()), Cache(task.text, task.support.segments)
    close(ape.scores(fitted, cache, asked.features).logits, expected)
    scores, rows = (ape.index_queries(fitted, asked.features) @ fitted.tensors["keys"].T).sort(descending=True)
    close(ape.scores(fitted, cache, asked.features, Retrieved(scores, rows)).logits, expected)
