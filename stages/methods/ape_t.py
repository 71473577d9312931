"""APE-T (Zhu et al., ICCV 2023), with the given class texts alone: one residual a class moves its text and its keys.

    t_c <- t_c + r_c,    K_j <- K_j + r_y_j  on the channels that APE's criterion over the texts ranks best,    v_j = 1 at the start
    logits = s f t^T + alpha exp(-beta (1 - f K^T)) (L v)

AdamW with decay 0.1. Published: 20 epochs, rate 1e-3 (1e-4 on ImageNet); here 10, and the rate and the epoch, then alpha and
beta, chosen on validation samples. It starts with Tip-Adapter's alpha and beta.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from xmap.stages.fewshot.task import FewShotTask, Retrieved, Segments
from xmap.stages.methods import tip_adapter
from xmap.stages.methods.ape import channel_order, kept
from xmap.stages.methods.fitting.epochs import Batch, Schedule, Step, run_epochs
from xmap.stages.methods.fitting.optimisers import adam
from xmap.stages.methods.fitting.trials import AfterEpoch, Point, Trainer, choose_after, train_and_choose
from xmap.stages.methods.maths.affinity import affinity, at_keys, class_sums, key_sums
from xmap.stages.methods.options import ApeTOptions, TipAdapterOptions
from xmap.stages.methods.protocol import Cache, Fitted, NoLog, Scores, Settings, TrainLog

DECAY = 0.1


def fit(task: FewShotTask, options: ApeTOptions, settings: Settings | None, log: TrainLog) -> Fitted:
    """Start from Tip-Adapter's alpha and beta, train at each rate, keep the best rate and epoch, choose alpha and beta again."""
    start = tip_adapter.fit(task, TipAdapterOptions(alpha=options.alpha, beta=options.beta), settings, NoLog())
    given = {f"train_{name}": float((settings or {}).get(f"train_{name}", start.settings[name])) for name in ("alpha", "beta")}
    alpha, beta, segments, scale = given["train_alpha"], given["train_beta"], task.support.segments, task.text.logit_scale
    order = channel_order(task, options.similarity, with_keys=False)
    channels = order[: kept(len(order), options.channels)]

    def train(point: Point, after_epoch: AfterEpoch, rows: TrainLog) -> None:
        residual = task.text.weights.new_zeros(task.text.classes, len(channels)).requires_grad_()
        values = task.text.weights.new_ones(len(task.support)).requires_grad_()
        schedule = Schedule(options.epochs, options.batch_size, point["learning_rate"], task.seed, adam(1e-3, DECAY))

        def step(batch: Batch) -> Step:
            tensors = moved(task, channels, residual, values)
            logits = text_logits(scale, tensors, batch.features) + alpha * image_sums(tensors, segments, batch.features, beta)
            return Step(cross_entropy(logits, batch.labels), logits, {})

        def hand_over(epoch: int) -> None:
            after_epoch(epoch, moved(task, channels, residual, values))

        run_epochs([residual, values], task.support, schedule, step, rows, hand_over)

    def trained_logits(tensors: Mapping[str, Tensor], features: Tensor) -> Tensor:
        return text_logits(scale, tensors, features) + alpha * image_sums(tensors, segments, features, beta)

    fixed = {"learning_rate": options.initial("learning_rate"), "alpha": alpha, "beta": beta, **given}
    count = task.text.classes * len(channels) + len(task.support)
    trainer = Trainer(train, trained_logits, fixed, {"learning_rate": options.grid("learning_rate")}, options.epochs, count)
    fitted = train_and_choose(task, trainer, settings, log)
    if settings is not None or task.validation is None:
        return fitted
    features = task.validation.features
    text, similarity = text_logits(scale, fitted.tensors, features), features @ fitted.tensors["keys"].T

    @lru_cache(maxsize=1)
    def sums(sharpness: float) -> Tensor:
        return class_sums(affinity(similarity, sharpness) * fitted.tensors["values"], segments)

    counted = replace(fitted, selection=replace(fitted.selection, trials=fitted.selection.trials + start.selection.trials))
    return choose_after(task, counted, tip_adapter.cache_grids(task, options), lambda point: text + point["alpha"] * sums(point["beta"]))


def scores(fitted: Fitted, cache: Cache, features: Tensor, retrieved: Retrieved | None = None) -> Scores:
    """Logits of the moved texts plus the weighted cache of the moved keys, over all keys or over retrieved ones."""
    tensors, chosen = fitted.tensors, fitted.settings
    image = image_sums(tensors, cache.segments, features, float(chosen["beta"]), retrieved)
    return Scores(text_logits(cache.text.logit_scale, tensors, features) + float(chosen["alpha"]) * image, image)


def moved(task: FewShotTask, channels: Tensor, residual: Tensor, values: Tensor) -> dict[str, Tensor]:
    """Texts and keys with the residual (N, Q) of their class added on `channels` (Q,), not normalised, as published."""
    step = torch.zeros_like(task.text.weights).index_copy(1, channels, residual)
    return {"weights": task.text.weights + step, "keys": task.support.keys + step[task.support.labels], "values": values}


def text_logits(scale: float, tensors: Mapping[str, Tensor], features: Tensor) -> Tensor:
    """`s f t^T` (B, N) of the moved texts."""
    return scale * features @ tensors["weights"].T


def image_sums(
    tensors: Mapping[str, Tensor], segments: Segments, features: Tensor, beta: float, retrieved: Retrieved | None = None
) -> Tensor:
    """Class sums (B, N) of the affinities, each key's times its weight."""
    similarity = features @ tensors["keys"].T if retrieved is None else retrieved.scores
    return key_sums(affinity(similarity, beta) * at_keys(tensors["values"], retrieved), segments, retrieved)
