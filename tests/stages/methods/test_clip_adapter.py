"""CLIP-Adapter against NumPy: its logits and the gradient of its loss in both layers."""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy as torch_cross_entropy

from tests.worlds.few_shot import SCALE
from tests.worlds.small_task import Array, close, cross_entropy, double, queries, slopes, small_task, unit
from xmap.stages.methods import clip_adapter
from xmap.stages.methods.protocol import Cache, Fitted, Selection


def slow_logits(features: Array, texts: Array, down: Array, up: Array, ratio: float) -> Array:
    adapted = (features @ down.T).clip(0) @ up.T
    return SCALE * unit(ratio * adapted.clip(0) + (1 - ratio) * features) @ texts.T


def test_logits_and_gradients() -> None:
    task = small_task([2, 1, 3])
    asked = queries(task, total=9)
    net = {name: weight.requires_grad_() for name, weight in clip_adapter.start_net(6, 2, 3).items()}
    features, texts = double(asked.features), double(task.text.weights)
    down, up, labels = double(net["down"]), double(net["up"]), asked.labels.numpy()
    logits = clip_adapter.adapted_logits(task.text, net, asked.features, 0.4)
    close(logits, slow_logits(features, texts, down, up, 0.4))
    torch_cross_entropy(logits, asked.labels).backward()
    assert net["down"].grad is not None
    assert net["up"].grad is not None
    close(net["down"].grad, slopes(lambda x: cross_entropy(slow_logits(features, texts, x, up, 0.4), labels), down))
    close(net["up"].grad, slopes(lambda x: cross_entropy(slow_logits(features, texts, down, x, 0.4), labels), up))
    scored = clip_adapter.scores(Fitted(net, {"ratio": 0.4}, Selection("")), Cache(task.text, task.support.segments), asked.features)
    assert torch.equal(scored.logits, logits)


def test_raw_features_give_the_same_direction() -> None:
    task = small_task([2, 2])
    net, features = clip_adapter.start_net(6, 2, 3), queries(task).features
    raw = clip_adapter.adapted_logits(task.text, net, 10 * features, 0.2)
    assert torch.allclose(raw, clip_adapter.adapted_logits(task.text, net, features, 0.2), atol=1e-5)
