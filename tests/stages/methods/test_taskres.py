"""TaskRes against NumPy: its logits, and the gradient of its loss in the residual."""

from __future__ import annotations

import torch

from tests.worlds.few_shot import SCALE
from tests.worlds.small_task import Array, batch_of, close, cross_entropy, double, queries, slopes, small_task, unit
from xmap.stages.methods import taskres
from xmap.stages.methods.options import TaskResOptions
from xmap.stages.methods.protocol import Cache, Fitted, NoLog, Selection


def slow_logits(features: Array, texts: Array, residual: Array, alpha: float) -> Array:
    return SCALE * features @ unit(texts + alpha * residual).T


def test_logits_and_gradient() -> None:
    task = small_task([2, 1, 3])
    asked = queries(task)
    residual = (0.3 * torch.randn(task.text.weights.shape, generator=torch.Generator().manual_seed(1))).requires_grad_()
    features, texts, labels = double(asked.features), double(task.text.weights), asked.labels.numpy()
    step = taskres.training_step(task, residual, 0.5, batch_of(task, asked))
    close(step.logits, slow_logits(features, texts, double(residual), 0.5))
    step.loss.backward()
    assert residual.grad is not None
    close(residual.grad, slopes(lambda x: cross_entropy(slow_logits(features, texts, x, 0.5), labels), double(residual)))
    fitted = Fitted({"weights": task.text.weights + 0.5 * residual}, {}, Selection(""))
    close(taskres.scores(fitted, Cache(task.text, task.support.segments), asked.features).logits, double(step.logits))


def test_the_residual_starts_at_zero_and_adam_moves_it_by_the_rate() -> None:
    task = small_task([2, 2, 2])
    options = TaskResOptions(epochs=1, batch_size=6, learning_rate=1e-2, alpha=0.5)
    moved = taskres.fit(task, options, None, NoLog()).tensors["weights"] - task.text.weights
    assert torch.allclose(moved.abs(), torch.full_like(moved, 0.5e-2), atol=1e-5)
