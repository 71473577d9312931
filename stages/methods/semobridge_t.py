"""SeMoBridge-T (Timmermann et al., arXiv 2509.26036, 2025): the way back through the text projection P is trained, with a bias a class.

    e_j    = r k_j Q + tau_y_j              Q starts as pinv(P), tau at 0; r the mean length of raw image features
    q_c, p_c = means over class c of norm(e_j) and of norm(e_j) P
    loss   = 1/2 CE(s k_j norm(p)^T, y_j) + 1/4 CE(norm(p_c) W^T, c) + 1/4 CE(norm(q_c) V^T, c)
             + 1/10 CE(norm(norm(e_j) P) norm(p)^T, y_j) + 1/10 var_c |tau_c|
    b      = norm(r f Q P + softmax(f p^T) tau P)

W are the class texts, V the unit ones before the projection; the sides and their logits are SeMoBridge's (`stages.methods.semobridge`).
As published every step sees the whole support, and text terms have no scale. Published: AdamW at 1.5e-4, 500 of 5,000 steps warming up;
here 300 at 1e-3, a tenth warming up, so that a training takes seconds. The bias of a query is always weighed by the bridged keys
(published: by these or the texts, whichever name validation images better; both softmaxes are nearly even). The step is chosen on
validation samples, then the sharpness and the weights.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from xmap.stages.fewshot.task import FewShotTask, Unprojected
from xmap.stages.methods import semobridge
from xmap.stages.methods.fitting.epochs import Batch, Schedule, Step, run_epochs
from xmap.stages.methods.fitting.optimisers import adam
from xmap.stages.methods.fitting.trials import AfterEpoch, Point, Trainer, train_and_choose
from xmap.stages.methods.options import SemobridgeTOptions
from xmap.stages.methods.protocol import Cache, Fitted, Selection, Settings, TrainLog

scores = semobridge.scores
IMAGES, TEXTS, AGREEMENT, LENGTHS = 0.5, 0.25, 0.1, 0.1
WARMING, DECAY = 0.1, 0.01


def fit(task: FewShotTask, options: SemobridgeTOptions, settings: Settings | None, log: TrainLog) -> Fitted:
    """Train the way back and the biases, keep the best step; choose the sharpness and the weights."""
    support, unprojected, start = task.support, semobridge.unprojected_of(task, "semobridge-t"), semobridge.starts(options)
    length, means = float(support.views.norm(dim=-1).mean()), semobridge.class_means(task)

    def train(point: Point, after_epoch: AfterEpoch, rows: TrainLog) -> None:
        way = semobridge.inverse_of(unprojected).requires_grad_()
        bias = way.new_zeros(support.classes, way.shape[1]).requires_grad_()

        def step(batch: Batch) -> Step:
            found, logits = loss(task, unprojected, normalize(length * batch.features @ way + bias[batch.labels], dim=-1), batch)
            return Step(found + LENGTHS * bias.norm(dim=1).var(correction=0), logits, {})

        def hand_over(epoch: int) -> None:
            prompts = semobridge.prompts(task, unprojected, length * support.keys @ way + bias[support.labels])
            trained = {"prompts": prompts, "bridge": length * way @ unprojected.projection, "bias": bias @ unprojected.projection}
            after_epoch(epoch, {**means, **trained})

        schedule = Schedule(options.epochs, len(support), options.learning_rate, task.seed, adam(weight_decay=DECAY), warming)
        run_epochs([way, bias], support, schedule, step, rows, hand_over, lambda chosen, _: support.keys[chosen])

    def logits(tensors: Mapping[str, Tensor], features: Tensor) -> Tensor:
        return semobridge.scores(Fitted(tensors, start, Selection("")), Cache.of(task), features).logits

    count = unprojected.projection.numel() + unprojected.features.numel()
    fitted = train_and_choose(task, Trainer(train, logits, start, {}, options.epochs, count), settings, log)
    return semobridge.choose(task, options, fitted, settings)


def loss(task: FewShotTask, unprojected: Unprojected, carried: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """The loss but for the lengths of the biases, and the logits (B, N) of a batch by the bridged keys; `carried` (B, E) is norm(e)."""
    projected, labels = carried @ unprojected.projection, batch.labels
    prompts = _class_means(task, projected, labels)
    logits = task.text.logit_scale * batch.features @ prompts.T
    seen = torch.nonzero(task.support.segments.counts)[:, 0]
    projections = cross_entropy(prompts[seen] @ task.text.weights.T, seen)
    inner = cross_entropy(_class_means(task, carried, labels)[seen] @ unprojected.features.T, seen)
    agreement = cross_entropy(normalize(projected, dim=-1) @ prompts.T, labels)
    return IMAGES * cross_entropy(logits, labels) + TEXTS * (projections + inner) + AGREEMENT * agreement, logits


def warming(done: int, steps: int) -> float:
    """The share of the learning rate: rising over the first tenth of the steps, then whole."""
    return min(1.0, (done + 1) / max(WARMING * steps, 1.0))


def _class_means(task: FewShotTask, rows: Tensor, labels: Tensor) -> Tensor:
    """The direction (N, D) of the mean of each class's rows (B, D); zero for a class without any."""
    return normalize(rows.new_zeros(task.text.classes, rows.shape[1]).index_add(0, labels, rows), dim=-1)
