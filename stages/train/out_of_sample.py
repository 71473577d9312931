"""How probable the given label of each sample is to what never learned that label: the table behind `label-suspects`.

Of a validation sample that is the adapter's calibrated probability. A support sample's label the adapter has learned, right or wrong; there
the class texts and the other cached images speak:

    logits_c = a s f W^T_c + 5 b v_c,    v_c = the share of class c among the nearest other keys, each weighed by exp(30 cos)

with a and b >= 0 of the smallest cross entropy of the given labels, plus a belief that both are near 1: two numbers, which no single label
moves far. What belongs together with the sample is no witness, and neither are class texts that were tuned on the support, nor what the
support says of sentences.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from xmap.stages.adapters.files import texts_are_tuned
from xmap.stages.adapters.neighbors import BATCH, batches
from xmap.stages.datasets.dataset import TRAIN
from xmap.stages.datasets.splits.groups import parties
from xmap.stages.fewshot.cache import OpenCache
from xmap.stages.fewshot.draw import CALIBRATION_MOST, even_rows
from xmap.stages.fewshot.task import FewShotTask, Labelled
from xmap.stages.fewshot.wide import part_of
from xmap.stages.methods.protocol import Calibration
from xmap.stages.train.calibration import Said
from xmap.stages.train.identity import TrainSpec
from xmap.store.artifacts.artifact import Draft
from xmap.store.formats.index import Neighbors
from xmap.store.formats.log import OUT_OF_SAMPLE_TABLE, Column, write_out_of_sample

# Chosen on planted labels (docs/calibration.md): how much nearer keys count for more, and what a full share of the votes is worth at b = 1.
SHARPNESS, VOTES = 30.0, 5.0
SPREAD, STEPS, HALVINGS, ENOUGH = 1.0, 50, 20, 1e-9

Judged = tuple[str, Labelled, Tensor]


def write_judged(draft: Draft, spec: TrainSpec, judged: list[Judged]) -> None:
    """Write the table: of each split its samples and their class probabilities (B, N)."""
    labels, chances = torch.cat([samples.labels for _, samples, _ in judged]), torch.cat([chances for _, _, chances in judged])
    best = chances.max(1)
    columns: dict[str, Column] = {
        "run": draft.identity.folder,
        "method": spec.method,
        "seed": spec.seed,
        "split": [split for split, samples, _ in judged for _ in range(len(samples))],
        "sample_id": [sample for _, samples, _ in judged for sample in samples.sample_ids],
        "label": labels.numpy(),
        "label_probability": chances.gather(1, labels[:, None])[:, 0].numpy(),
        "likely": best.indices.numpy(),
        "likely_probability": best.values.numpy(),
    }
    write_out_of_sample(draft.path / OUT_OF_SAMPLE_TABLE, columns, draft.identity.fingerprint)


def judge_beside(split: str, said: Said, calibration: Calibration) -> Judged:
    """Samples beside the support, by the adapter's calibrated probabilities."""
    return split, said.samples, (said.logits.float() / calibration.temperature).softmax(1)


def judge_support(task: FewShotTask, cache: OpenCache, near: Neighbors) -> Judged:
    """The support, by class texts and the keys `near` to each sample (M, k), which are others than its own."""
    samples = task.support.plain(torch.arange(len(task.support)))
    votes = Votes(task, cache, near)
    some = torch.from_numpy(even_rows(len(samples), CALIBRATION_MOST))
    weights = fit_weights(torch.cat(list(votes.sides(some))), samples.labels[some])
    chances = [(sides @ weights).softmax(1).float() for sides in votes.sides(torch.arange(len(samples)))]
    return TRAIN, samples, torch.cat(chances)


class Votes:
    """What speaks for each class: its text, where none was tuned on the support, and the nearest other keys."""

    def __init__(self, task: FewShotTask, cache: OpenCache, near: Neighbors) -> None:
        self._text, self._widths = None if texts_are_tuned(cache) else task.text.unguided, task.widths
        self._plain, self._classes = task.support.views[:, 0], task.text.classes
        counted = near.rows >= 0
        if task.index is None and any(task.support.groups):
            together = np.asarray(parties(task.support.units, task.support.groups))
            counted &= together[near.rows.clip(min=0)] != together[:, None]
        # Of the nearest 1: no exponent overflows.
        nearer = np.exp(SHARPNESS * np.where(counted, near.scores - near.scores.max(1, initial=-1.0, keepdims=True), -np.inf))
        total = nearer.sum(1, keepdims=True)
        self._shares = torch.from_numpy(np.divide(nearer, total, out=np.zeros_like(nearer), where=total > 0)).double()
        self._labels = torch.from_numpy(cache.values.labels[near.rows.clip(min=0)].astype(np.int64))

    def sides(self, rows: Tensor) -> Iterator[Tensor]:
        """(B, N, 1 or 2) float64 of the support's rows, some at a time."""
        for part in batches(len(rows), BATCH):
            chosen = rows[part]
            votes = torch.zeros(len(chosen), self._classes, dtype=torch.float64)
            votes.scatter_add_(1, self._labels[chosen], VOTES * self._shares[chosen])
            plain = part_of(normalize(self._plain[chosen], dim=-1), self._widths, 0)
            text = [] if self._text is None else [self._text.logits(plain).double()]
            yield torch.stack([*text, votes], 2)


def fit_weights(sides: Tensor, labels: Tensor) -> Tensor:
    """The weights (S,) >= 0 of the sides (B, N, S) float64 by which labels (B,) are the most probable, believed to be near 1."""
    apart = sides - sides.gather(1, labels[:, None, None].expand(-1, 1, sides.shape[2]))
    weights = _newton(apart)
    free = weights > 0
    if not bool(free.all()):
        weights = torch.zeros_like(weights).masked_scatter(free, _newton(apart[:, :, free]).clamp(min=0.0))
    return weights


def _newton(apart: Tensor) -> Tensor:
    """The minimum of a convex function of `apart` (B, N, S): sides minus those of the given class."""
    weights = torch.ones(apart.shape[2], dtype=apart.dtype)
    identity = torch.eye(len(weights), dtype=apart.dtype) / SPREAD**2
    loss = _loss(apart, weights)
    for _ in range(STEPS):
        chances = (apart @ weights).softmax(1)
        mean = (chances[:, :, None] * apart).sum(1)
        slope = mean.sum(0) + (weights - 1.0) / SPREAD**2
        curve = torch.einsum("bn,bni,bnj->ij", chances, apart, apart) - mean.T @ mean + identity
        step = torch.linalg.solve(curve, slope)
        for _ in range(HALVINGS):
            if (lower := _loss(apart, weights - step)) <= loss:
                break
            step = step / 2
        weights, gained, loss = weights - step, loss - lower, lower
        if gained < ENOUGH * abs(loss):
            break
    return weights


def _loss(apart: Tensor, weights: Tensor) -> float:
    return float((apart @ weights).logsumexp(1).sum() + (weights - 1.0).square().sum() / (2 * SPREAD**2))
