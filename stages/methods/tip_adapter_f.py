"""Tip-Adapter-F (Zhang et al., ECCV 2022): Tip-Adapter whose image keys are trained, not re-normalised, as published.

Unlike the published script, the epoch and the final alpha and beta are chosen on validation samples, never on test.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from xmap.stages.fewshot.task import FewShotTask
from xmap.stages.methods import tip_adapter
from xmap.stages.methods.fitting.epochs import Batch, BestEpoch, Schedule, Step, run_epochs
from xmap.stages.methods.fitting.optimisers import adam
from xmap.stages.methods.fitting.search import quality
from xmap.stages.methods.maths.affinity import affinity, class_sums
from xmap.stages.methods.maths.trained_keys import TrainedKeySums
from xmap.stages.methods.options import TipAdapterFOptions
from xmap.stages.methods.protocol import Fitted, NoLog, Selection, Settings, TrainLog

scores = tip_adapter.scores


def fit(task: FewShotTask, options: TipAdapterFOptions, settings: Settings | None, log: TrainLog) -> Fitted:
    """Choose alpha and beta for the untrained cache, train the keys, keep the best epoch, choose alpha and beta again."""
    support, validation = task.support, task.validation
    start = tip_adapter.fit(task, options, settings, NoLog())
    alpha, beta = float(start.settings["alpha"]), float(start.settings["beta"])
    alpha, beta = float((settings or {}).get("train_alpha", alpha)), float((settings or {}).get("train_beta", beta))
    keys = support.keys.clone().requires_grad_()
    key_sums = TrainedKeySums(support.segments, beta, unit=False)
    best = BestEpoch(int((settings or {}).get("epoch", options.epochs)))

    def step(batch: Batch) -> Step:
        image = key_sums(batch.features, keys, batch.rows if options.self_match == "mask" else None)
        logits = task.text.logits(batch.features) + alpha * image
        own = image.gather(1, batch.labels[:, None]).squeeze(1)
        return Step(cross_entropy(logits, batch.labels), logits, {"affinity_image": own})

    def after_epoch(epoch: int) -> None:
        judged = (
            None
            if validation is None or settings is not None
            else quality(_logits(task, keys, alpha, beta, validation.features), validation.labels)
        )
        best.offer(epoch, {"keys": keys}, judged)

    schedule = Schedule(options.epochs, options.batch_size, options.learning_rate, task.seed, adam(1e-4, 0.01))
    run_epochs([keys], support, schedule, step, log, after_epoch)
    trained = best.tensors["keys"]
    record = {"epoch": best.epoch, "train_alpha": alpha, "train_beta": beta}
    if validation is None or settings is not None:
        return Fitted({"keys": trained}, {**start.settings, **record}, Selection(task.selected_on), keys.numel())
    choice = tip_adapter.search_cache(task, options, trained, validation)
    selection = tip_adapter.as_selection(choice, task.selected_on, start.selection.trials + best.trials)
    grid = {**selection.grid, "epoch": [float(epoch) for epoch in range(1, options.epochs + 1)]}
    return Fitted({"keys": trained}, {**choice.values, **record}, replace(selection, grid=grid), keys.numel())


def _logits(task: FewShotTask, keys: Tensor, alpha: float, beta: float, features: Tensor) -> Tensor:
    with torch.no_grad():
        return task.text.logits(features) + alpha * class_sums(affinity(features @ keys.T, beta), task.support.segments)
