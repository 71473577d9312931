"""ZS-LP (Silva-Rodriguez et al., CVPR 2024): a linear probe whose class weights start as the zero-shot ones.

    logits = s f norm(w)^T,    w = t at the start,    cross-entropy

Published: SGD, momentum 0.9, batch 256, 300 epochs, rate 0.1 on raw texts of norm about 10, which is 1e-3 on the unit texts
here. Here: 12 epochs, and the rate and the epoch chosen on validation samples.
"""

from __future__ import annotations

from functools import partial

from xmap.stages.fewshot.task import FewShotTask
from xmap.stages.methods import class_weights
from xmap.stages.methods.class_weights import no_penalty, train_weights
from xmap.stages.methods.fitting.epochs import Schedule
from xmap.stages.methods.fitting.optimisers import SGD
from xmap.stages.methods.fitting.trials import AfterEpoch, Point, Trainer, train_and_choose
from xmap.stages.methods.options import LinearProbeOptions
from xmap.stages.methods.protocol import Fitted, Settings, TrainLog

scores = class_weights.scores


def fit(task: FewShotTask, options: LinearProbeOptions, settings: Settings | None, log: TrainLog) -> Fitted:
    """Train at each rate; keep the best rate and epoch."""

    def train(point: Point, after_epoch: AfterEpoch, rows: TrainLog) -> None:
        schedule = Schedule(options.epochs, options.batch_size, point["learning_rate"], task.seed, SGD)
        train_weights(task, schedule, no_penalty(task), after_epoch, rows)

    fixed, grids = {"learning_rate": options.initial("learning_rate")}, {"learning_rate": options.grid("learning_rate")}
    logits = partial(class_weights.task_logits, task)
    return train_and_choose(task, Trainer(train, logits, fixed, grids, options.epochs, task.text.weights.numel()), settings, log)
