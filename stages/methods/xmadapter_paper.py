"""XMAdapter as published (arXiv 2404.12588), as far as its text is known: the faithful form.

    A = gamma A_img + (1 - gamma) A_txt,    logits = s f W^T + alpha A L,    loss weighted by the disagreement of the two

Image keys are tuned and normalised in the forward pass; what the paper leaves open is an option (docs/methods.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from xmap.stages.fewshot.task import FewShotTask, Labelled, Retrieved, Segments, Text
from xmap.stages.methods import tip_adapter
from xmap.stages.methods.fitting.epochs import Batch, BestEpoch, Schedule, Step, run_epochs
from xmap.stages.methods.fitting.optimisers import adam
from xmap.stages.methods.fitting.search import quality, search
from xmap.stages.methods.maths.affinity import affinity, class_sums, masked_class_sums, sparse_class_sums
from xmap.stages.methods.maths.hard_samples import Means, disagreement, sample_weights, weighted_mean
from xmap.stages.methods.maths.text_cache import Kernel, start_nets, text_affinity
from xmap.stages.methods.options import XMAdapterPaperOptions
from xmap.stages.methods.protocol import Cache, Fitted, NoLog, Scores, Selection, Settings, TrainLog
from xmap.stages.methods.searched import Grid

CHUNK = 1024
ALPHA_FACTORS = (0.25, 0.5, 0.7, 1.0, 1.4, 2.0, 4.0)


@dataclass(frozen=True)
class Sides:
    """The two class sums (B, N) and gamma (B,) of a batch."""

    image: Tensor
    text: Tensor
    gamma: Tensor

    @property
    def fused(self) -> Tensor:
        return self.gamma[:, None] * self.image + (1.0 - self.gamma[:, None]) * self.text


def fit(task: FewShotTask, options: XMAdapterPaperOptions, settings: Settings | None, log: TrainLog) -> Fitted:
    """Train keys, nets and gamma; choose the epoch, then alpha (and a fixed gamma) on validation samples."""
    start = tip_adapter.fit(task, options, settings, NoLog())
    given = settings or {}
    alpha, beta = float(given.get("train_alpha", start.settings["alpha"])), float(given.get("beta", start.settings["beta"]))
    fixed: Settings = {"alpha": alpha, "beta": beta, "beta_text": options.beta_text, "kernel": options.kernel}
    tensors = start_tensors(task, options)
    learned = [tensor.requires_grad_() for name, tensor in tensors.items() if _learned(name, options)]
    judge = task.validation if settings is None else None
    best = BestEpoch(int(given.get("epoch", options.epochs)))

    def step(batch: Batch) -> Step:
        return training_step(task, tensors, fixed, options, batch)

    def after_epoch(epoch: int) -> None:
        judged = _judge(task, tensors, fixed, judge) if judge else None
        best.offer(epoch, tensors, judged)

    schedule = Schedule(options.epochs, options.batch_size, options.learning_rate, task.seed, adam(1e-4))
    run_epochs(learned, task.support, schedule, step, log, after_epoch)
    count = sum(tensor.numel() for tensor in learned)
    record = {**fixed, "train_alpha": alpha, "epoch": best.epoch, **{k: v for k, v in given.items() if k in ("alpha", "gamma")}}
    finished = _finished(best.tensors)
    record |= support_means(task, finished, fixed).settings
    fitted = Fitted(finished, record, Selection(task.selected_on), count)
    return _select(task, fitted, judge, options, start.selection.trials + best.trials) if judge else fitted


def scores(fitted: Fitted, cache: Cache, features: Tensor, retrieved: Retrieved | None = None) -> Scores:
    """Zero-shot logits plus alpha times the fused class sums; the image side from all keys or from retrieved ones."""
    sides = both_sides(fitted, cache.text, cache.segments, features, retrieved)
    return Scores(cache.text.logits(features) + float(fitted.settings["alpha"]) * sides.fused, sides.image, sides.text, sides.gamma)


def both_sides(fitted: Fitted, text: Text, segments: Segments, features: Tensor, retrieved: Retrieved | None = None) -> Sides:
    """The class sums of both caches' affinities for unit features (B, C), and gamma."""
    beta = float(fitted.settings["beta"])
    if retrieved is not None:
        image = sparse_class_sums(retrieved.scores, retrieved.rows, beta, segments)
    else:
        image = class_sums(affinity(features @ normalize(fitted.tensors["keys"], dim=-1).T, beta), segments)
    return Sides(image, text_sums(fitted.tensors, fitted.settings, text.weights, features, segments), _gamma(fitted, features))


def start_tensors(task: FewShotTask, options: XMAdapterPaperOptions) -> dict[str, Tensor]:
    """Keys, nets and gamma before training."""
    device = task.support.labels.device
    width = task.support.keys.shape[1]
    nets = start_nets(width, options.width, options.depth, options.start, task.seed, device)
    logit = torch.logit(torch.tensor(options.initial("gamma")).clamp(1e-6, 1 - 1e-6))
    gate = {"gate.weight": torch.zeros(width, device=device)} if options.gamma_mode == "gated" else {}
    return {"keys": task.support.keys.clone(), "gate.bias": logit.to(device), **nets, **gate}


def training_step(task: FewShotTask, tensors: Mapping[str, Tensor], fixed: Settings, options: XMAdapterPaperOptions, batch: Batch) -> Step:
    """Logits of a batch of support queries and their weighted loss."""
    segments, beta = task.support.segments, float(fixed["beta"])
    values = affinity(batch.features @ normalize(tensors["keys"], dim=-1).T, beta)
    masked = options.self_match == "mask"
    image = masked_class_sums(values, batch.rows, segments) if masked else class_sums(values, segments)
    text = text_sums(tensors, fixed, task.text.weights, batch.features, segments)
    sides = Sides(image, text, gamma_of(tensors, batch.features))
    logits = task.text.logits(batch.features) + float(fixed["alpha"]) * sides.fused
    compared = (values, text[:, segments.labels]) if options.disagreement == "key" else (image, text)
    difference = disagreement(*compared, Means.over([compared]))
    weights = sample_weights(difference, options.hard_weight)
    loss = weighted_mean(cross_entropy(logits, batch.labels, reduction="none"), weights)
    return Step(loss, logits, log_columns(sides, batch.labels, difference, weights))


def support_means(task: FewShotTask, tensors: Mapping[str, Tensor], settings: Settings) -> Means:
    """The means of both sides over the support, each image without its own key, at unit keys."""
    support, beta = task.support, float(settings["beta"])

    def met(rows: Tensor) -> tuple[Tensor, Tensor]:
        queries = support.keys[rows]
        image = masked_class_sums(affinity(queries @ tensors["keys"].T, beta), rows, support.segments)
        return image, text_sums(tensors, settings, task.text.weights, queries, support.segments)

    with torch.no_grad():
        return Means.over(met(rows) for rows in support.chunks(CHUNK))


def log_columns(sides: Sides, labels: Tensor, difference: Tensor, weights: Tensor) -> dict[str, Tensor]:
    """The columns of the affinity log: both affinities of the true class, gamma, difference and weight."""
    own = labels[:, None]
    image, text = sides.image.gather(1, own).squeeze(1), sides.text.gather(1, own).squeeze(1)
    return {"affinity_image": image, "affinity_text": text, "gamma": sides.gamma, "difference": difference, "weight": weights}


def text_sums(tensors: Mapping[str, Tensor], settings: Settings, texts: Tensor, features: Tensor, segments: Segments) -> Tensor:
    """The text side's class sums (B, N): each of a class's K keys has the class's one text affinity."""
    kernel: Kernel = "relative" if settings["kernel"] == "relative" else "exp"
    return segments.shots * text_affinity(tensors, texts, features, float(settings["beta_text"]), kernel)


def gamma_of(tensors: Mapping[str, Tensor], features: Tensor) -> Tensor:
    """The share of the image side for each query (B,)."""
    gate = features @ tensors["gate.weight"] if "gate.weight" in tensors else features.new_zeros(features.shape[0])
    return torch.sigmoid(gate + tensors["gate.bias"])


def _gamma(fitted: Fitted, features: Tensor) -> Tensor:
    if "gamma" in fitted.settings:
        return features.new_full((features.shape[0],), float(fitted.settings["gamma"]))
    return gamma_of(fitted.tensors, features)


def _learned(name: str, options: XMAdapterPaperOptions) -> bool:
    if name == "keys":
        return options.keys == "tuned"
    return options.gamma_mode != "fixed" if name.startswith("gate") else True


def _finished(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors to store: keys of unit length, so that an index over them gives cosines."""
    return {**tensors, "keys": normalize(tensors["keys"], dim=-1)}


def _judge(task: FewShotTask, tensors: Mapping[str, Tensor], fixed: Settings, validation: Labelled) -> tuple[float, float]:
    fitted = Fitted(tensors, fixed, Selection(""))
    result = scores(fitted, Cache(task.text, task.support.segments), validation.features)
    return quality(result.logits, validation.labels)


def _select(task: FewShotTask, fitted: Fitted, validation: Labelled, options: XMAdapterPaperOptions, trials: int) -> Fitted:
    """Choose alpha around the one trained with, and gamma where it is fixed, on validation samples."""
    features, labels = validation.features, validation.labels
    sides = both_sides(fitted, task.text, task.support.segments, features)
    image, text, learned = sides.image, sides.text, sides.gamma
    alpha = float(fitted.settings["train_alpha"])
    around = Grid(tuple(alpha * factor for factor in ALPHA_FACTORS))
    grids = {"alpha": options.grid("alpha", tip_adapter.alpha_scale(task), around)}
    if "gamma" in options.searched():
        grids["gamma"] = options.grid("gamma")
    zero_shot = task.text.logits(features)

    def logits(point: Mapping[str, float]) -> Tensor:
        gamma = features.new_full((len(features),), point["gamma"]) if "gamma" in point else learned
        return zero_shot + point["alpha"] * Sides(image, text, gamma).fused

    choice = search(grids, labels, logits)
    grid = {**choice.grid, "epoch": [float(epoch) for epoch in range(1, options.epochs + 1)]}
    selection = replace(tip_adapter.as_selection(choice, task.selected_on, trials), grid=grid)
    return replace(fitted, settings={**fitted.settings, **choice.values}, selection=selection)
