"""TaskRes (Yu et al., CVPR 2023), with the regular base: a learned residual on the class texts.

    logits = s f norm(t + alpha x)^T,    x = 0 at the start

Published: Adam at 2e-3 (2e-4 on ImageNet), batch 256, 100 or 200 epochs after one of warm-up, alpha 0.5. Here: no warm-up, 12
epochs, and the rate and the epoch chosen on validation samples; alpha is not, since Adam moves alpha x by alpha times the rate.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from xmap.stages.fewshot.task import FewShotTask
from xmap.stages.methods import class_weights
from xmap.stages.methods.class_weights import head_logits
from xmap.stages.methods.fitting.epochs import Batch, Schedule, Step, run_epochs
from xmap.stages.methods.fitting.trials import AfterEpoch, Point, Trainer, train_and_choose
from xmap.stages.methods.options import TaskResOptions
from xmap.stages.methods.protocol import Fitted, Settings, TrainLog

scores = class_weights.scores


def fit(task: FewShotTask, options: TaskResOptions, settings: Settings | None, log: TrainLog) -> Fitted:
    """Train at each rate; keep the best rate and epoch."""

    def train(point: Point, after_epoch: AfterEpoch, rows: TrainLog) -> None:
        residual = torch.zeros_like(task.text.weights).requires_grad_()
        schedule = Schedule(options.epochs, options.batch_size, point["learning_rate"], task.seed)

        def step(batch: Batch) -> Step:
            return training_step(task, residual, options.alpha, batch)

        def hand_over(epoch: int) -> None:
            after_epoch(epoch, {"weights": task.text.weights + options.alpha * residual})

        run_epochs([residual], task.support, schedule, step, rows, hand_over)

    fixed, grids = {"learning_rate": options.initial("learning_rate")}, {"learning_rate": options.grid("learning_rate")}
    logits = partial(class_weights.task_logits, task)
    return train_and_choose(task, Trainer(train, logits, fixed, grids, options.epochs, task.text.weights.numel()), settings, log)


def training_step(task: FewShotTask, residual: Tensor, alpha: float, batch: Batch) -> Step:
    """Logits and cross-entropy of a batch under a residual (N, C)."""
    logits = head_logits(task.text.logit_scale, batch.features, task.text.weights + alpha * residual)
    return Step(cross_entropy(logits, batch.labels), logits, {})
