"""What an evaluation says of each method: accuracy with its interval, calibration, costs, and the difference of every pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from stages import metrics
from stages.config import EvalConfig
from stages.identities import COOP
from stages.scoring import Outcome
from stages.task import Labelled
from store.artifact import Artifact
from store.fingerprint import Json
from store.tables import Array

BOOTSTRAP_SEED = 0
OVER_SEEDS = "student-t over seeds"
OVER_SAMPLES = "bootstrap over test samples"


def result_of(method: str, found: Sequence[Outcome], test: Labelled, config: EvalConfig, classes: int) -> dict[str, Json]:
    """One method's row of results over its seeds; accuracies in percent."""
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


def differences_of(groups: Mapping[str, Sequence[Outcome]]) -> list[dict[str, Json]]:
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
