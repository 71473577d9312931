"""The head that TaskRes, ZS-LP and CLAP share: one weight vector a class, compared by cosine.

    logits = s f norm(w)^T

Here are its logits, the penalised loss, and the training that ZS-LP and CLAP share.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from xmap.stages.fewshot.task import FewShotTask, Retrieved
from xmap.stages.methods.fitting.epochs import Batch, Schedule, Step, run_epochs
from xmap.stages.methods.fitting.trials import AfterEpoch
from xmap.stages.methods.protocol import Cache, Fitted, Scores, TrainLog


def head_logits(scale: float, features: Tensor, weights: Tensor) -> Tensor:
    """`s f norm(w)^T` (B, N)."""
    return scale * features @ normalize(weights, dim=-1).T


def scores(fitted: Fitted, cache: Cache, features: Tensor, retrieved: Retrieved | None = None) -> Scores:
    """Logits of the trained class weights; there is no cache to retrieve from."""
    return Scores(head_logits(cache.text.logit_scale, features, fitted.tensors["weights"]))


def task_logits(task: FewShotTask, tensors: Mapping[str, Tensor], features: Tensor) -> Tensor:
    """The same logits while fitting."""
    return head_logits(task.text.logit_scale, features, tensors["weights"])


def penalised(task: FewShotTask, weights: Tensor, penalties: Tensor, batch: Batch) -> Step:
    """Cross-entropy plus `mean_c penalty_c ||w_c - t_c||^2`, penalties (N,)."""
    logits = head_logits(task.text.logit_scale, batch.features, weights)
    distance = (weights - task.text.weights).square().sum(1)
    return Step(cross_entropy(logits, batch.labels) + (penalties * distance).mean(), logits, {})


def train_weights(task: FewShotTask, schedule: Schedule, penalties: Tensor, after_epoch: AfterEpoch, log: TrainLog) -> None:
    """Train class weights that start at the texts."""
    weights = task.text.weights.clone().requires_grad_()

    def step(batch: Batch) -> Step:
        return penalised(task, weights, penalties, batch)

    run_epochs([weights], task.support, schedule, step, log, lambda epoch: after_epoch(epoch, {"weights": weights}))


def no_penalty(task: FewShotTask) -> Tensor:
    """Penalties (N,) of zero."""
    return torch.zeros_like(task.support.segments.counts)
