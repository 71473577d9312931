"""LP++ (Huang et al., CVPR 2024): a linear probe on images plus class-wise weighted text logits.

    logits_c = f w_c + a_c f t_c,    cross-entropy over the whole support at once
    w_c = sum of class c's shots,    a_c = 2.5 s times the mean alignment f t_y of the support (mean of class means)
    rate of w = 4 n / lambda_max(F^T F),    rate of a = n / (4 max_c sum_i (f_i t_c)^2)

w moves by SGD of momentum 0.9, a by plain gradient steps, every tenth step. The published script keeps adding up a's gradient
between its steps and starts with a random bias; here, as in the paper, neither. All 300 published steps are kept: 100 are
clearly worse. The step is chosen on validation samples; the rates come from the data.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from xmap.stages.fewshot.task import FewShotTask, Retrieved
from xmap.stages.methods.fitting.epochs import Batch, Schedule, Step, constant, run_epochs
from xmap.stages.methods.fitting.optimisers import SGD
from xmap.stages.methods.fitting.trials import AfterEpoch, Point, Trainer, train_and_choose
from xmap.stages.methods.options import LpPlusPlusOptions
from xmap.stages.methods.protocol import Cache, Fitted, Scores, Settings, TrainLog


def fit(task: FewShotTask, options: LpPlusPlusOptions, settings: Settings | None, log: TrainLog) -> Fitted:
    """Train w and a; keep the best step."""
    support, texts = task.support, task.text.weights
    weight_rate, text_rate = rates(task)

    def train(point: Point, after_epoch: AfterEpoch, rows: TrainLog) -> None:
        tensors = {name: tensor.requires_grad_() for name, tensor in start_tensors(task).items()}

        def step(batch: Batch) -> Step:
            tensors["text_weights"].grad = None
            logits = probe_logits(texts, tensors, batch.features)
            return Step(cross_entropy(logits, batch.labels), logits, {})

        def move_text(epoch: int) -> None:
            gradient = tensors["text_weights"].grad
            if epoch % options.text_every == 0 and gradient is not None:
                tensors["text_weights"] -= text_rate * gradient
            after_epoch(epoch, tensors)

        schedule = Schedule(options.epochs, len(support), weight_rate, task.seed, SGD, constant)
        run_epochs([tensors["weights"]], support, schedule, step, rows, move_text)

    count = texts.numel() + len(texts)
    return train_and_choose(task, Trainer(train, partial(probe_logits, texts), {}, {}, options.epochs, count), settings, log)


def scores(fitted: Fitted, cache: Cache, features: Tensor, retrieved: Retrieved | None = None) -> Scores:
    """Logits of the probe; there is no cache to retrieve from."""
    return Scores(probe_logits(cache.text.weights, fitted.tensors, features))


def probe_logits(texts: Tensor, tensors: Mapping[str, Tensor], features: Tensor) -> Tensor:
    """`f w^T + a * f t^T` (B, N)."""
    return features @ (tensors["weights"] + tensors["text_weights"][:, None] * texts).T


def start_tensors(task: FewShotTask) -> dict[str, Tensor]:
    """w (N, C) and a (N,) before training."""
    support, texts = task.support, task.text.weights
    counts = support.segments.counts
    weights = torch.zeros_like(texts).index_add_(0, support.labels, support.keys)
    aligned = (weights * texts).sum(1) / counts.clamp(min=1.0)
    start = 2.5 * task.text.logit_scale * float(aligned[counts > 0].mean())
    return {"weights": weights, "text_weights": torch.full_like(counts, start)}


def rates(task: FewShotTask) -> tuple[float, float]:
    """The step sizes of w and of a, from the support."""
    keys, total = task.support.keys.double(), len(task.support)
    largest = float(torch.linalg.eigvalsh(keys.T @ keys)[-1])
    text = float((keys @ task.text.weights.double().T).square().sum(0).max())
    return 4.0 * total / largest, total / (4.0 * text)
