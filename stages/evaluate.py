"""The stage `eval`: the only one that opens the test split, once, for adapters whose every choice is already made.

Test rows never leave this module: what it returns is an artifact with metrics, predictions and the affinity log.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stages import metrics
from stages.config import EvalConfig, TopK
from stages.datasets.dataset import TEST
from stages.device import resolve_device
from stages.evidence import FLOATS, agreement, batches, neighbor_column, sample_columns
from stages.identities import COOP
from stages.inputs import IMAGE_INDEX, VALUES, labelled, load_text, require_same_encoder
from stages.methods.method import Cache, Fitted, Method, Retrieved, Scores, index_queries
from stages.methods.method import method as load_method
from stages.progress import Progress
from stages.support import join
from stages.task import Labelled
from stages.train import cache_on_device, load_adapter, on_device
from store.artifact import Artifact, Draft, Identity, Store
from store.errors import InputError
from store.features import read_images
from store.files import write_bytes
from store.fingerprint import Json
from store.index import Neighbors, VectorIndex, gpu_count
from store.log import Column, NeighborColumn, read_values, write_affinity, write_predictions
from store.tables import Array

BATCH = 1024
BOOTSTRAP_SEED = 0
PREDICTED = ("probability", "true_probability", "zero_shot", "top5", "top5_probability", "top5_image", "top5_text")
OVER_SEEDS = "student-t over seeds"
OVER_SAMPLES = "bootstrap over test samples"


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
    """What a run did on every test sample: `columns` of length T (of top5, (T, min(5, N))), its neighbours, seconds of scoring."""

    run: Run
    columns: Mapping[str, Array]
    neighbors: NeighborColumn
    seconds: float
    uses_support: bool

    @property
    def correct(self) -> Array:
        return self.columns["correct"]


def evaluate(
    store: Store,
    identity: Identity,
    images: Artifact,
    texts: Artifact,
    runs: Sequence[Run],
    config: EvalConfig,
    device: str,
    progress: Progress,
    target: Artifact | None = None,
) -> Artifact:
    """Score the test split with every run; store metrics, predictions and the affinity log.

    With `target`, other images of the same classes, its test split is scored in place of that of `images`, and only the
    classes it has images of can be predicted.
    `summary["results"]` holds one object a method, in the order of `runs`; `summary["differences"]` one a pair of methods.
    Raises `InputError` without test images, without runs, for runs of different shots, and for a device that is not there.
    """
    place = resolve_device(device)
    _check(runs)
    with store.build(identity, on_wait=progress.say) as held:
        if isinstance(held, Artifact):
            return held
        text = load_text(texts)
        test = _read_test(target or images)
        require_same_encoder(target or images, texts, test.features.shape[1], text)
        barred = None if target is None else _barred(target, text.names, test)
        progress.start("eval", len(runs) * len(test))
        outcomes = [_outcome(run, test, config, place, progress, barred) for run in runs]
        results = [_result(method, found, test, config, text.classes) for method, found in _by_method(outcomes).items()]
        differences = _differences(_by_method(outcomes))
        _write(held, outcomes, test)
        facts: dict[str, Json] = {"results": results, "differences": differences, "samples": len(test), "classes": list(text.names)}
        write_bytes(held.path / "metrics.json", json.dumps({**facts, "config": config.model_dump(mode="json")}, indent=1).encode())
        return held.commit({"results": results, "differences": differences, "samples": len(test)}, device=place)


def _check(runs: Sequence[Run]) -> None:
    if not runs:
        raise InputError("nothing to evaluate: name methods with --methods.")
    shots = sorted({run.shots for run in runs})
    if len(shots) > 1:
        raise InputError(f"one evaluation compares methods at one number of shots, got {', '.join(map(str, shots))}; run them one by one.")
    seeds = {method: [run.seed for run in runs if run.method == method] for method in {run.method for run in runs}}
    for method, found in seeds.items():
        if len(set(found)) < len(found):
            raise InputError(f"method {method!r} comes twice with one seed; name every seed once with --seeds.")


def _read_test(images: Artifact) -> Labelled:
    """The plain views of the test split."""
    paths = [path for path in images.files(prefix=f"{TEST}-", suffix=".parquet") if path.stem.removeprefix(f"{TEST}-").isdigit()]
    tables = (read_images([path]) for path in paths)
    parts = [rows.take(np.flatnonzero(rows.views == 0)) for rows in tables]
    if not sum(len(part) for part in parts):
        raise InputError(f"features {images.name!r} hold no readable test image; extract a dataset with a test split.")
    return labelled(join(parts))


def _barred(target: Artifact, names: Sequence[str], test: Labelled) -> Tensor:
    """Which classes (N,) bool the target has no image of. Raises `InputError` where its classes are others."""
    if list(target.summary["classes"]) != list(names):
        raise InputError(f"images {target.name!r} are of other classes than the adapters; extract both with one classnames.txt.")
    return torch.bincount(test.labels, minlength=len(names)) == 0


def _outcome(run: Run, test: Labelled, config: EvalConfig, device: str, progress: Progress, barred: Tensor | None = None) -> Outcome:
    fitted, cache = load_adapter(run.adapter, run.texts, run.cache)
    values = read_values(run.cache.file(VALUES))
    own = run.adapter.files(prefix=IMAGE_INDEX)
    index = VectorIndex.load(own[0] if own else run.cache.file(IMAGE_INDEX))
    scorer = _Scorer(load_method(run.method), fitted, cache, index if own else None, config.top_k, device)
    parts: list[dict[str, Array]] = []
    seconds = 0.0
    for part in batches(len(test), BATCH):
        features = test.features[part]
        started = time.perf_counter()
        scores = scorer.scores(features)
        seconds += time.perf_counter() - started
        zero_shot = cache.text.logits(features)
        if barred is not None:
            scores = replace(scores, logits=scores.logits.masked_fill(barred, -torch.inf))
            zero_shot = zero_shot.masked_fill(barred, -torch.inf)
        parts.append(_columns(scores, test.labels[part], zero_shot))
        progress.advance(part.stop - part.start)
    columns = {name: np.concatenate([piece[name] for piece in parts]) for name in parts[0]}
    found = _search(index, scorer.index_queries(test.features) if own else test.features, config.neighbors)
    columns["neighbor_agreement"] = agreement(found, values, test.labels.numpy())
    return Outcome(run, columns, neighbor_column(found, fitted.settings, values), seconds, bool(fitted.tensors) or run.texts.stage == COOP)


class _Scorer:
    """Scores batches with one adapter: over all keys, or over those its index retrieves."""

    def __init__(self, method: Method, fitted: Fitted, cache: Cache, index: VectorIndex | None, top_k: TopK, device: str) -> None:
        self._method, self._device = method, device
        self._fitted, self._cache = on_device(fitted, device), cache_on_device(cache, device)
        self._top_k = 0 if index is None or top_k == "all" else int(top_k)
        self._index = index
        if index is not None and self._top_k and device == "cuda" and gpu_count():
            self._index = index.on_gpu()

    def scores(self, features: Tensor) -> Scores:
        """Scores of unit features (B, C), back on the CPU."""
        with torch.no_grad():
            found = self._method.scores(self._fitted, self._cache, features.to(self._device), self._retrieved(features))
        sides = [None if side is None else side.cpu() for side in (found.image, found.text, found.gamma)]
        return Scores(found.logits.float().cpu(), *sides)

    def index_queries(self, features: Tensor) -> Tensor:
        """Unit features (B, C) as the adapter's own index takes them, on the CPU."""
        with torch.no_grad():
            return index_queries(self._method, self._fitted, features.to(self._device)).cpu()

    def _retrieved(self, features: Tensor) -> Retrieved | None:
        if self._index is None or not self._top_k:
            return None
        found = self._index.search(self.index_queries(features).numpy(), self._top_k)
        return Retrieved(torch.from_numpy(found.scores).to(self._device), torch.from_numpy(found.rows).to(self._device))


def _columns(scores: Scores, labels: Tensor, zero_shot: Tensor) -> dict[str, Array]:
    """The per-sample columns of one batch."""
    chances = scores.logits.softmax(1)
    named = sample_columns(scores, labels)
    columns = {name: column.numpy() for name, column in named.items()}
    columns["correct"] = columns["predicted"] == labels.numpy()
    columns["top5_hit"] = metrics.top_k_hits(scores.logits.numpy(), labels.numpy(), 5)
    best = scores.logits.topk(min(5, scores.logits.shape[1]), dim=1).indices
    columns["top5"] = best.numpy()
    for name, sums in (("top5_probability", chances), ("top5_image", scores.image), ("top5_text", scores.text)):
        columns[name] = np.full(best.shape, np.nan, np.float32) if sums is None else sums.gather(1, best).numpy()
    columns["probability"] = chances.amax(1).numpy()
    columns["true_probability"] = chances.gather(1, labels[:, None])[:, 0].numpy()
    columns["zero_shot"] = zero_shot.argmax(1).numpy()
    return columns


def _search(index: VectorIndex, features: Tensor, k: int) -> Neighbors:
    """The `k` nearest keys of each feature, found in batches; padded with row -1 where the cache has fewer."""
    found = [index.search(features[part].numpy(), k) for part in batches(len(features), BATCH)]
    return Neighbors(np.concatenate([part.scores for part in found]), np.concatenate([part.rows for part in found]))


def _by_method(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.run.method, []).append(outcome)
    return groups


def _result(method: str, found: Sequence[Outcome], test: Labelled, config: EvalConfig, classes: int) -> dict[str, Json]:
    """The row of one method; accuracies in percent."""
    labels = test.labels.numpy()
    mean_correct = np.mean([outcome.correct for outcome in found], axis=0)
    per_class = metrics.per_class_accuracy(mean_correct, labels, classes)
    errors = [metrics.calibration_error(outcome.columns["probability"], outcome.correct, config.bins) for outcome in found]
    interval, kind = _interval(found, mean_correct)
    summaries: list[Mapping[str, Any]] = [outcome.run.adapter.summary for outcome in found]
    return {
        "method": method,
        "shots": found[0].run.shots,
        "seeds": [outcome.run.seed for outcome in found],
        "accuracy_mean": 100.0 * float(mean_correct.mean()),
        "accuracy_ci95": interval,
        "ci_kind": kind,
        "accuracies": [100.0 * float(outcome.correct.mean()) for outcome in found],
        "top5_mean": 100.0 * float(np.mean([outcome.columns["top5_hit"].mean() for outcome in found])),
        "ece_mean": 100.0 * float(np.mean(errors)),
        "per_class": [None if np.isnan(share) else 100.0 * float(share) for share in per_class],
        "selected_on": "; ".join(dict.fromkeys(str(summary["selection"]["selected_on"]) for summary in summaries)),
        "trials": max(int(summary["selection"]["trials"]) for summary in summaries),
        "edges": sorted({str(name) for summary in summaries for name in summary["selection"]["edges"]}),
        "trainable_parameters": max(int(summary["trainable_parameters"]) for summary in summaries),
        "train_seconds": float(np.mean([summary["train_seconds"] for summary in summaries])),
        "ms_per_query": 1000.0 * float(np.mean([outcome.seconds for outcome in found])) / len(labels),
        "stored_bytes": round(float(np.mean([summary["stored_bytes"] for summary in summaries]))),
        **_memory(summaries),
        **_text_cost([outcome.run.texts for outcome in found]),
    }


def _memory(summaries: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
    """The most memory that training took under any seed; None where the system did not tell."""
    peaks = [summary["peak_bytes"] for summary in summaries]
    return {"peak_bytes": None if None in peaks else max(int(peak) for peak in peaks)}


def _text_cost(texts: Sequence[Artifact]) -> dict[str, Json]:
    """What the class texts cost before any method began: nothing for prompts, CoOp's tuning where they are tuned."""
    if any(artifact.stage != COOP for artifact in texts):
        return {"text": "prompts", "text_parameters": 0, "text_seconds": 0.0, "text_trials": 0}
    summaries = [artifact.summary for artifact in texts]
    return {
        "text": "coop",
        "text_parameters": max(int(summary["trainable_parameters"]) for summary in summaries),
        "text_seconds": float(np.mean([summary["train_seconds"] for summary in summaries])),
        "text_trials": max(int(summary["selection"]["trials"]) for summary in summaries),
    }


def _interval(found: Sequence[Outcome], mean_correct: Array) -> tuple[list[float], str]:
    """The 95 % interval in percent and its kind.

    Over seeds where they draw different supports. With one support (fixed, or a single seed), and for a method that keeps
    nothing of the support (its accuracy is the same under every seed), the uncertainty left is that of the test samples.
    """
    varies = len({outcome.run.cache.fingerprint for outcome in found}) > 1 and any(outcome.uses_support for outcome in found)
    if varies:
        low, high = metrics.accuracy_interval(np.asarray([outcome.correct.mean() for outcome in found]))
    else:
        low, high = metrics.bootstrap_interval(mean_correct, BOOTSTRAP_SEED)
    return [100.0 * low, 100.0 * high], OVER_SEEDS if varies else OVER_SAMPLES


def _differences(groups: Mapping[str, Sequence[Outcome]]) -> list[dict[str, Json]]:
    """The paired bootstrap of every pair of methods, later minus earlier, on correctness averaged over seeds; in points."""
    names = list(groups)
    columns = np.stack([np.mean([outcome.correct for outcome in groups[name]], axis=0) for name in names], axis=1)
    means, resampled = columns.mean(axis=0), metrics.resampled_means(columns, BOOTSTRAP_SEED)
    found = []
    for second, first in combinations(range(len(names)), 2):
        result = metrics.difference_of(float(means[first]), float(means[second]), resampled[:, first] - resampled[:, second])
        interval = [100.0 * result.low, 100.0 * result.high]
        row: dict[str, Json] = {"method": names[first], "against": names[second], "difference": 100.0 * result.mean}
        found.append({**row, "ci95": interval, "tie": result.tie})
    return found


def _write(draft: Draft, outcomes: Sequence[Outcome], test: Labelled) -> None:
    labels = test.labels.numpy()
    total = len(test)

    def column(name: str) -> Array:
        return np.concatenate([outcome.columns.get(name, np.full(total, np.nan, np.float32)) for outcome in outcomes])

    shared: dict[str, Column | NeighborColumn] = {
        "run": [outcome.run.adapter.path.name for outcome in outcomes for _ in range(total)],
        "method": [outcome.run.method for outcome in outcomes for _ in range(total)],
        "seed": np.repeat([outcome.run.seed for outcome in outcomes], total),
        "sample_id": list(test.sample_ids) * len(outcomes),
        "label": np.tile(labels, len(outcomes)),
        "predicted": column("predicted"),
    }
    predictions = {name: column(name) for name in PREDICTED}
    write_predictions(draft.path / "predictions.parquet", {**shared, **predictions}, draft.identity.fingerprint)
    log: dict[str, Column | NeighborColumn] = {
        "split": TEST,
        "epoch": 0,
        "zero_shot_correct": column("zero_shot") == np.tile(labels, len(outcomes)),
        "correct": column("correct"),
        "neighbor_agreement": column("neighbor_agreement"),
        "neighbors": _joined([outcome.neighbors for outcome in outcomes]),
    }
    write_affinity(
        draft.path / "affinity/test.parquet", {**shared, **{name: column(name) for name in FLOATS}, **log}, draft.identity.fingerprint
    )


def _joined(columns: Sequence[NeighborColumn]) -> NeighborColumn:
    """The neighbours of several runs, each with a cache of its own, as one column."""
    width = max(column.rows.shape[1] for column in columns)
    starts = np.cumsum([0, *(len(column.sample_ids) for column in columns)])
    rows = [
        _padded(np.where(column.rows >= 0, column.rows + start, -1), width, -1) for column, start in zip(columns, starts[:-1], strict=True)
    ]
    affinities = [_padded(column.affinities, width, 0.0) for column in columns]
    ids = [sample for column in columns for sample in column.sample_ids]
    labels = np.concatenate([column.labels for column in columns])
    return NeighborColumn(np.concatenate(rows), np.concatenate(affinities), ids, labels)


def _padded(matrix: Array, width: int, value: float) -> Array:
    return np.pad(matrix, ((0, 0), (0, width - matrix.shape[1])), constant_values=value)
