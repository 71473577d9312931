"""The training loop of every trained method: shuffled batches of support queries, an optimiser, a rate that decays.

A query is one stored view of a support image, drawn anew each epoch (imported features have one view). Draws go over the
samples' contents, so renaming, renumbering classes or reordering rows changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from xmap.stages.fewshot.task import Support
from xmap.stages.methods.columns import columns_of
from xmap.stages.methods.fitting.optimisers import ADAM, MakeOptimiser
from xmap.stages.methods.protocol import TrainLog

Decay = Callable[[int, int], float]


def cosine(done: int, steps: int) -> float:
    """The share of the learning rate after `done` of `steps`: from 1 to 0."""
    return 0.5 * (1.0 + math.cos(math.pi * done / steps))


def constant(done: int, steps: int) -> float:
    """The whole learning rate, always."""
    return 1.0


@dataclass(frozen=True)
class Schedule:
    """How long and how fast: epochs, queries a step, peak learning rate, the seed, the optimiser and how its rate decays."""

    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    optimiser: MakeOptimiser = ADAM
    decay: Decay = cosine


@dataclass(frozen=True)
class Batch:
    """Support queries of one step: `rows` (B,) of the support, unit `features` (B, C), `labels` (B,), 1-based `epoch`."""

    rows: Tensor
    features: Tensor
    labels: Tensor
    epoch: int


@dataclass(frozen=True)
class Step:
    """What a method computes for a batch: the scalar `loss`, the `logits`, and columns for the affinity log."""

    loss: Tensor
    logits: Tensor
    columns: Mapping[str, Tensor]


def run_epochs(
    parameters: Sequence[Tensor],
    support: Support,
    schedule: Schedule,
    step: Callable[[Batch], Step],
    log: TrainLog,
    after_epoch: Callable[[int], None],
    queries: Callable[[Tensor, torch.Generator], Tensor] | None = None,
) -> None:
    """Minimise `step(batch).loss` over `parameters`; call `after_epoch(epoch)` with no gradient after each epoch.

    `queries(rows, generator)` gives the unit features (B, C) of support rows; by default one stored view drawn at random.
    """
    generator = torch.Generator().manual_seed(schedule.seed)
    optimiser, done = schedule.optimiser(parameters), 0
    steps = schedule.epochs * math.ceil(len(support) / schedule.batch_size)
    draw = queries or (lambda rows, generator: view_queries(support, rows, generator))
    for epoch in range(1, schedule.epochs + 1):
        shuffled = support.by_unit[torch.randperm(len(support), generator=generator).to(support.labels.device)]
        for rows in torch.split(shuffled, schedule.batch_size):
            batch = Batch(rows, draw(rows, generator), support.labels[rows], epoch)
            result = step(batch)
            for parameter in parameters:
                parameter.grad = None
            result.loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step(schedule.learning_rate * schedule.decay(done, steps))
            done += 1
            log.add(epoch, rows, columns_of(result.logits.detach(), batch.labels, result.columns))
        with torch.no_grad():
            after_epoch(epoch)


def view_queries(support: Support, rows: Tensor, generator: torch.Generator) -> Tensor:
    """One stored view, drawn at random, of each of the given support samples, as unit features (B, C)."""
    views = support.views.shape[1]
    drawn = torch.randint(views, (len(rows),), generator=generator).to(rows.device)
    return normalize(support.views[rows, drawn], dim=-1)


class BestEpoch:
    """Remembers the tensors of the epoch that was best on validation; of epoch `last` where there is nothing to judge by."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.epoch = 0
        self.trials = 0
        self._quality: tuple[float, float] = (-math.inf, -math.inf)
        self._tensors: dict[str, Tensor] = {}

    def offer(self, epoch: int, tensors: Mapping[str, Tensor], quality: tuple[float, float] | None) -> None:
        """Keep this epoch's tensors if they are better, or, without a quality, if it is the last."""
        self.trials += quality is not None
        if epoch == self.last if quality is None else quality > self._quality:
            self._quality = quality or self._quality
            self.epoch, self._tensors = epoch, {name: tensor.detach().clone() for name, tensor in tensors.items()}

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        return self._tensors
