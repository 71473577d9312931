"""CLIP-Adapter (Gao et al., IJCV 2024): a bottleneck net mixes into the image feature.

    f' = ratio ReLU(W2 ReLU(W1 f)) + (1 - ratio) f,    logits = s norm(f') t^T

The net is positively homogeneous: on the unit features here it gives what it gives on raw ones. Trained with Adam at
ratio 0.2; the rate and the epoch, and then the ratio, are chosen on validation samples.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize, relu

from xmap.stages.fewshot.task import FewShotTask, Retrieved, Text
from xmap.stages.methods.fitting.epochs import Batch, Schedule, Step, run_epochs
from xmap.stages.methods.fitting.trials import AfterEpoch, Point, Trainer, choose_after, train_and_choose
from xmap.stages.methods.options import ClipAdapterOptions
from xmap.stages.methods.protocol import Cache, Fitted, Scores, Settings, TrainLog


def fit(task: FewShotTask, options: ClipAdapterOptions, settings: Settings | None, log: TrainLog) -> Fitted:
    """Train at each rate, keep the best rate and epoch, then choose the ratio."""
    ratio = options.initial("ratio")
    start = start_net(task.text.weights.shape[1], options.reduction, task.seed)

    def train(point: Point, after_epoch: AfterEpoch, rows: TrainLog) -> None:
        net = {name: weight.to(task.text.weights.device).clone().requires_grad_() for name, weight in start.items()}
        schedule = Schedule(options.epochs, options.batch_size, point["learning_rate"], task.seed)

        def step(batch: Batch) -> Step:
            logits = adapted_logits(task.text, net, batch.features, ratio)
            return Step(cross_entropy(logits, batch.labels), logits, {})

        run_epochs(list(net.values()), task.support, schedule, step, rows, lambda epoch: after_epoch(epoch, net))

    def trained_logits(net: Mapping[str, Tensor], features: Tensor) -> Tensor:
        return adapted_logits(task.text, net, features, ratio)

    count = sum(weight.numel() for weight in start.values())
    fixed = {"learning_rate": options.initial("learning_rate"), "ratio": ratio}
    grids = {"learning_rate": options.grid("learning_rate")}
    fitted = train_and_choose(task, Trainer(train, trained_logits, fixed, grids, options.epochs, count), settings, log)
    if settings is not None or task.validation is None:
        return fitted
    features = task.validation.features
    ratios = {"ratio": options.grid("ratio")}
    return choose_after(task, fitted, ratios, lambda point: adapted_logits(task.text, fitted.tensors, features, point["ratio"]))


def scores(fitted: Fitted, cache: Cache, features: Tensor, retrieved: Retrieved | None = None) -> Scores:
    """Logits of the adapted features; there is no cache to retrieve from."""
    return Scores(adapted_logits(cache.text, fitted.tensors, features, float(fitted.settings["ratio"])))


def adapted_logits(text: Text, net: Mapping[str, Tensor], features: Tensor, ratio: float) -> Tensor:
    """Logits (B, N) of unit features (B, C) through the net."""
    adapted = relu(relu(features @ net["down"].T) @ net["up"].T)
    return text.logits(normalize(ratio * adapted + (1.0 - ratio) * features, dim=-1))


def start_net(width: int, reduction: int, seed: int) -> dict[str, Tensor]:
    """`down` (C/r, C) and `up` (C, C/r), uniform within 1 / sqrt(inputs), as torch's linear layers start."""
    inner = max(width // reduction, 1)
    generator = torch.Generator().manual_seed(seed)
    shapes = {"down": (inner, width), "up": (width, inner)}
    return {name: (2.0 * torch.rand(shape, generator=generator) - 1.0) / shape[1] ** 0.5 for name, shape in shapes.items()}
