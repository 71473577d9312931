"""APE-T against NumPy: the moved texts and keys, the logits, and the gradients of residual and key weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy as torch_cross_entropy

from tests.worlds.few_shot import SCALE
from tests.worlds.small_task import Array, close, cross_entropy, double, queries, slopes, small_task
from xmap.stages.fewshot.task import FewShotTask, Retrieved
from xmap.stages.methods import ape_t
from xmap.stages.methods.protocol import Cache, Fitted, Selection

CHANNELS = torch.tensor([4, 1, 2])


def slow_logits(task: FewShotTask, features: Array, residual: Array, values: Array) -> Array:
    texts, keys, labels = double(task.text.weights), double(task.support.keys), task.support.labels.numpy()
    for place, channel in enumerate(CHANNELS.tolist()):
        texts[:, channel] += residual[:, place]
        keys[:, channel] += residual[labels, place]
    one_hot = np.eye(len(texts))[labels]
    weights = one_hot * task.support.shots / one_hot.sum(axis=0) * values[:, None]
    return SCALE * features @ texts.T + 0.7 * np.exp(-2.0 * (1 - features @ keys.T)) @ weights


@pytest.mark.parametrize("counts", [[2, 2, 2], [3, 1, 2]])
def test_logits_and_gradients(counts: list[int]) -> None:
    task = small_task(counts)
    asked = queries(task)
    generator = torch.Generator().manual_seed(4)
    residual = (0.2 * torch.randn(3, 3, generator=generator)).requires_grad_()
    values = (1.0 + 0.2 * torch.randn(len(task.support), generator=generator)).requires_grad_()
    tensors = ape_t.moved(task, CHANNELS, residual, values)
    fitted, cache = Fitted(tensors, {"alpha": 0.7, "beta": 2.0}, Selection("")), Cache(task.text, task.support.segments)
    logits = ape_t.scores(fitted, cache, asked.features).logits
    features, labels = double(asked.features), asked.labels.numpy()
    close(logits, slow_logits(task, features, double(residual), double(values)))
    torch_cross_entropy(logits, asked.labels).backward()
    assert residual.grad is not None
    assert values.grad is not None
    close(residual.grad, slopes(lambda x: cross_entropy(slow_logits(task, features, x, double(values)), labels), double(residual)))
    close(values.grad, slopes(lambda x: cross_entropy(slow_logits(task, features, double(residual), x), labels), double(values)))
    scores, rows = (asked.features @ tensors["keys"].T).sort(descending=True)
    assert torch.allclose(ape_t.scores(fitted, cache, asked.features, Retrieved(scores, rows)).logits, logits, atol=1e-4)
