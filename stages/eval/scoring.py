"""Scoring labelled samples with one adapter, batch by batch, and the evidence each batch leaves."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from xmap.stages.adapters.neighbors import BATCH, agreement, batches, neighbor_column
from xmap.stages.adapters.scorer import Scorer
from xmap.stages.adapters.sets import Sets
from xmap.stages.config import EvalConfig
from xmap.stages.eval import metrics
from xmap.stages.fewshot.cache import OpenCache
from xmap.stages.fewshot.task import Labelled
from xmap.stages.machine.device import resolve_device
from xmap.stages.machine.memory import kept_memory
from xmap.stages.methods.columns import encoder_columns, sample_columns
from xmap.stages.methods.protocol import Calibration, Scores
from xmap.stages.workplace.place import Workplace
from xmap.store.artifacts.artifact import Artifact
from xmap.store.formats.index import Neighbors
from xmap.store.formats.log import NeighborColumn
from xmap.store.formats.tables import Array

ELSEWHERE = "nothing is promised for images of another data set"


@dataclass(frozen=True)
class Run:
    """One adapter to evaluate, and the cache and class texts it was trained on."""

    method: str
    seed: int
    cache: Artifact
    adapter: Artifact
    texts: Artifact

    @property
    def shots(self) -> int:
        return int(self.cache.summary["shots"])


@dataclass(frozen=True)
class Outcome:
    """What a run did on every test sample: `columns` of length T (of top5, (T, min(5, N))), its neighbours, seconds of scoring.

    `sets_by` says by what samples prediction sets were made, or why there are none, and then no columns of them.
    """

    run: Run
    columns: Mapping[str, Array]
    neighbors: NeighborColumn
    seconds: float
    uses_support: bool
    calibration: Calibration
    sets_by: str

    @property
    def correct(self) -> Array:
        return self.columns["correct"]


def score(workplace: Workplace, run: Run, cache: OpenCache, test: Labelled, config: EvalConfig, barred: Tensor | None = None) -> Outcome:
    """Score every sample batch by batch, in the memory of what is kept; no class of `barred` (N,) bool can be predicted."""
    scorer = Scorer(run.adapter, cache, resolve_device(workplace.device), 0 if config.top_k == "all" else config.top_k)
    sets, sets_by = _sets(scorer, config.sets, barred is not None)
    columns: dict[str, Array] = {}
    seconds = 0.0
    # Each batch asks for the same large blocks again.
    with kept_memory("cpu"):
        for part in batches(len(test), BATCH):
            features = test.features[part]
            started = time.perf_counter()
            scores = scorer.scores(features)
            seconds += time.perf_counter() - started
            # To an adapter a class that this data lacks is known all the same.
            strange = {"strangeness": scorer.strangeness(features, scores.logits).numpy()}
            zero_shot = cache.zero_shot(features)
            if barred is not None:
                scores = replace(scores, logits=scores.logits.masked_fill(barred, -torch.inf))
                zero_shot = zero_shot.masked_fill(barred, -torch.inf)
            batch = _columns(scorer, scores, test.labels[part], zero_shot)
            _fill(columns, batch | strange | _members(sets, scores.logits, test.labels[part], barred), part, len(test))
            workplace.progress.advance(part.stop - part.start)
    found = _nearest(scorer, test.features, config.neighbors)
    columns["neighbor_agreement"] = agreement(found, cache.values, test.labels.numpy())
    near = neighbor_column(found, scorer.fitted.settings, cache.values)
    return Outcome(run, columns, near, seconds, scorer.uses_support, scorer.fitted.calibration, sets_by)


def _sets(scorer: Scorer, level: float, target: bool) -> tuple[Sets | None, str]:
    """The sets of a level that an adapter's kept samples make, and these in words; None without such samples, and why.

    Of the images of a `target`, which are others than those kept, nothing is promised.
    """
    kept = scorer.promises.kept
    if not kept:
        return None, "trained before samples were kept apart for sets" if kept is None else kept.source
    sets = Sets(kept, level)
    return sets, "; ".join(part for part in (sets.words, ELSEWHERE if target else sets.promise) if part)


def _members(sets: Sets | None, logits: Tensor, labels: Tensor, barred: Tensor | None) -> dict[str, Array]:
    """The per-sample columns of one batch that say what its prediction sets hold: no class of `barred` (N,) bool."""
    if sets is None:
        return {}
    members = sets.members(logits)
    if barred is not None:
        members &= ~barred
    return {"set_size": members.sum(1).numpy(), "in_set": members.gather(1, labels[:, None])[:, 0].numpy()}


def _columns(scorer: Scorer, scores: Scores, labels: Tensor, zero_shot: Tensor) -> dict[str, Array]:
    """The per-sample columns of one batch."""
    named = sample_columns(scorer.fitted, scores, labels)
    columns = {name: column.numpy() for name, column in named.items()}
    columns["correct"] = columns["predicted"] == labels.numpy()
    columns["top5_hit"] = metrics.top_k_hits(scores.logits.numpy(), labels.numpy(), 5)
    best = scores.logits.topk(min(5, scores.logits.shape[1]), dim=1).indices
    columns["top5"] = best.numpy()
    for name, sums in (("top5_image", scores.image), ("top5_text", scores.text)):
        columns[name] = np.full(best.shape, np.nan, np.float32) if sums is None else sums.gather(1, best).numpy()
    columns["zero_shot"] = zero_shot.argmax(1).numpy()
    columns |= {name: column.numpy() for name, column in encoder_columns(scores.encoders).items()}
    return columns | _chances(scorer, scores.logits, labels, best)


def _chances(scorer: Scorer, logits: Tensor, labels: Tensor, best: Tensor) -> dict[str, Array]:
    """The per-sample columns of one batch that say how sure the adapter is, calibrated and `raw`; `best` (B, k) are its classes."""
    true, chances, exact = labels[:, None], scorer.probabilities(logits), logits.double()
    others = chances.square().sum(1) - chances.gather(1, true)[:, 0].square()
    columns = {
        "top5_probability": chances.gather(1, best),
        "brier": others + (1.0 - chances.gather(1, true)[:, 0]).square(),
    }
    for prefix, each in (("", chances), ("raw_", logits.softmax(1))):
        columns[f"{prefix}probability"], columns[f"{prefix}true_probability"] = each.amax(1), each.gather(1, true)[:, 0]
    for prefix, scale in (("", scorer.fitted.calibration.temperature), ("raw_", 1.0)):
        columns[f"{prefix}log_loss"] = cross_entropy(exact / scale, labels, reduction="none")
    return {name: column.numpy() for name, column in columns.items()}


def _fill(columns: dict[str, Array], batch: Mapping[str, Array], part: slice, total: int) -> None:
    """Put a batch's columns into those of all samples.

    Kept as they are, they would lie between the blocks that each batch of logits frees, and memory would grow by these.
    """
    for name, values in batch.items():
        if name not in columns:
            columns[name] = np.empty((total, *values.shape[1:]), values.dtype)
        columns[name][part] = values


def _nearest(scorer: Scorer, features: Tensor, k: int) -> Neighbors:
    """The `k` nearest keys of each feature, found batch by batch."""
    columns: dict[str, Array] = {}
    for part in batches(len(features), BATCH):
        found = scorer.neighbors(features[part], k)
        _fill(columns, {"scores": found.scores, "rows": found.rows}, part, len(features))
    return Neighbors(columns["scores"], columns["rows"])
