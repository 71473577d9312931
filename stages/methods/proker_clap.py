"""ProKeR with CLAP (Bendou et al., CVPR 2025): the class weights are trained, and the kernel learns what these get wrong.

    logits = s (f norm(w)^T + k(f, K) (k(K, K) / ridge + I)^-1 (L - K norm(w)^T))
    loss   = cross-entropy + strength mean_c lambda_c ||w_c - t_c||^2

In each step the kernel's coefficients are taken anew from the class weights, and no gradient passes through them. lambda is CLAP's
(`stages.methods.clap`). beta and ridge are ProKeR's released settings or given ones; strength and epoch are chosen on validation
samples. Published: AdamW at 1e-4 for 100 to 200 steps of 64 images on unit texts at strength 1, nothing selected.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from xmap.stages.fewshot.task import FewShotTask, Retrieved, Text
from xmap.stages.methods.clap import class_multipliers
from xmap.stages.methods.fitting.epochs import Batch, Schedule, Step, run_epochs
from xmap.stages.methods.fitting.optimisers import adam
from xmap.stages.methods.fitting.trials import AfterEpoch, Point, Trainer, train_and_choose
from xmap.stages.methods.maths.affinity import affinity
from xmap.stages.methods.options import ProkerClapOptions
from xmap.stages.methods.proker import factor, kernel_scores, released, residuals
from xmap.stages.methods.protocol import Cache, Fitted, Scores, Selection, Settings, TrainLog


def fit(task: FewShotTask, options: ProkerClapOptions, settings: Settings | None, log: TrainLog) -> Fitted:
    """Train the class weights at each strength; keep the best strength and epoch, and the kernel's coefficients beside them."""
    support, text = task.support, task.text
    kernel = settings or {name: getattr(options, name) or value for name, value in released(task).items()}
    lower, multipliers = factor(support.keys, kernel), class_multipliers(task)
    # k(f, K) G is small where G (L - K w^T) is not: products of a batch, not of the support, in every step.
    inverse = torch.cholesky_inverse(lower).float()
    schedule = Schedule(epochs(task, options), options.batch_size, options.learning_rate, task.seed, adam(weight_decay=0.01))

    def train(point: Point, after_epoch: AfterEpoch, rows: TrainLog) -> None:
        weights, penalties = text.weights.clone().requires_grad_(), point["strength"] * multipliers

        def step(batch: Batch) -> Step:
            unit = normalize(weights, dim=-1)
            near = affinity(batch.features @ support.keys.T, point["beta"]) @ inverse
            logits = text.logit_scale * (batch.features @ unit.T + near @ residuals(support, unit.detach()))
            distance = (weights - text.weights).square().sum(1)
            return Step(cross_entropy(logits, batch.labels) + (penalties * distance).mean(), logits, {})

        run_epochs([weights], support, schedule, step, rows, lambda epoch: after_epoch(epoch, {"weights": weights}))

    def whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        wrong = residuals(support, normalize(tensors["weights"], dim=-1)).double()
        return {**tensors, "keys": support.keys, "coefficients": torch.cholesky_solve(wrong, lower).float()}

    def logits(tensors: Mapping[str, Tensor], features: Tensor) -> Tensor:
        return _scores(Fitted(whole(tensors), kernel, Selection("")), text, features).logits

    fixed = {"beta": float(kernel["beta"]), "ridge": float(kernel["ridge"]), "strength": options.initial("strength")}
    trainer = Trainer(train, logits, fixed, {"strength": options.grid("strength")}, schedule.epochs, text.weights.numel())
    found = train_and_choose(task, trainer, settings, log)
    return replace(found, tensors=whole(found.tensors))


def scores(fitted: Fitted, cache: Cache, features: Tensor, retrieved: Retrieved | None = None) -> Scores:
    """The trained weights' cosines and what the kernel adds to them, times the logit scale; always over all keys."""
    return _scores(fitted, cache.text, features)


def _scores(fitted: Fitted, text: Text, features: Tensor) -> Scores:
    return kernel_scores(fitted, text, normalize(fitted.tensors["weights"], dim=-1), features)


def epochs(task: FewShotTask, options: ProkerClapOptions) -> int:
    """So many passes over the support that there are at least `min_steps` steps."""
    return math.ceil(options.min_steps / math.ceil(len(task.support) / options.batch_size))
