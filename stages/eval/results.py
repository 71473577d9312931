"""What an evaluation says of each method: accuracy with its interval, calibration, costs, and the difference of every pair."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from xmap.stages.adapters.pool_words import pool_words
from xmap.stages.config import EvalConfig
from xmap.stages.eval import metrics
from xmap.stages.eval.measures import class_measures, mean_of, risk_coverage
from xmap.stages.eval.metrics import BOOTSTRAP_SEED, OVER_BOTH, OVER_SAMPLES, OVER_SEEDS
from xmap.stages.eval.scoring import Outcome
from xmap.stages.fewshot.task import Labelled
from xmap.stages.names import COOP
from xmap.store.artifacts.artifact import Artifact
from xmap.store.artifacts.fingerprint import Json
from xmap.store.formats.tables import Array


def result_of(method: str, outcomes: Sequence[Outcome], test: Labelled, config: EvalConfig, classes: int) -> dict[str, Json]:
    """One method's row of results over its seeds; accuracies in percent."""
    labels = test.labels.numpy()
    mean_correct = np.mean([outcome.correct for outcome in outcomes], axis=0)
    per_class = metrics.per_class_accuracy(mean_correct, labels, classes)
    interval, kind = _interval(outcomes, "correct")
    summaries: list[Mapping[str, Any]] = [outcome.run.adapter.summary for outcome in outcomes]
    return {
        "method": method,
        "shots": outcomes[0].run.shots,
        "seeds": [outcome.run.seed for outcome in outcomes],
        "accuracy_mean": 100.0 * float(mean_correct.mean()),
        "accuracy_ci95": interval,
        "ci_kind": kind,
        "accuracies": [100.0 * float(outcome.correct.mean()) for outcome in outcomes],
        "top5_mean": 100.0 * float(np.mean([outcome.columns["top5_hit"].mean() for outcome in outcomes])),
        **_honesty(outcomes, config.bins),
        "per_class": _percents(per_class),
        **_classes(outcomes, labels, classes),
        **_sets(outcomes, labels, config.sets, classes),
        "selected_on": "; ".join(dict.fromkeys(str(summary["selection"]["selected_on"]) for summary in summaries)),
        "trials": max(int(summary["selection"]["trials"]) for summary in summaries),
        "calibrated_on": "; ".join(dict.fromkeys(outcome.calibration.calibrated_on for outcome in outcomes)),
        "temperatures": [outcome.calibration.temperature for outcome in outcomes],
        "edges": sorted({str(name) for summary in summaries for name in summary["selection"]["edges"]}),
        "trainable_parameters": max(int(summary["trainable_parameters"]) for summary in summaries),
        "train_seconds": float(np.mean([summary["train_seconds"] for summary in summaries])),
        "ms_per_query": 1000.0 * float(np.mean([outcome.seconds for outcome in outcomes])) / len(labels),
        "stored_bytes": round(float(np.mean([summary["stored_bytes"] for summary in summaries]))),
        **_memory(summaries),
        **_text_cost([outcome.run.texts for outcome in outcomes]),
        **_pooled(summaries),
    }


def _honesty(outcomes: Sequence[Outcome], bins: int) -> dict[str, Json]:
    """How far stated probabilities can be believed, calibrated and `raw`; each the mean over seeds, shares of answers in percent."""

    def mean(measure: Callable[[Outcome], float]) -> float:
        return float(np.mean([measure(outcome) for outcome in outcomes]))

    def error(outcome: Outcome, column: str) -> float:
        return metrics.calibration_error(outcome.columns[column], outcome.correct, bins)

    return {
        "ece_mean": 100.0 * mean(lambda outcome: error(outcome, "probability")),
        "raw_ece_mean": 100.0 * mean(lambda outcome: error(outcome, "raw_probability")),
        "ece_bins": bins,
        "log_loss_mean": mean(lambda outcome: float(outcome.columns["log_loss"].mean())),
        "raw_log_loss_mean": mean(lambda outcome: float(outcome.columns["raw_log_loss"].mean())),
        "brier_mean": mean(lambda outcome: float(outcome.columns["brier"].mean(dtype=np.float64))),
        "aurc_mean": 100.0 * mean(lambda outcome: risk_coverage(outcome.columns["probability"], outcome.correct)),
    }


def _classes(outcomes: Sequence[Outcome], labels: Array, classes: int) -> dict[str, Json]:
    """What the classes get each, and what that makes of them together: uneven classes hide in accuracy."""
    found = [class_measures(outcome.columns["predicted"], labels, classes) for outcome in outcomes]
    counts = np.bincount(labels, minlength=classes)
    return {
        "balanced_accuracy_mean": 100.0 * float(np.mean([seed.balanced_accuracy for seed in found])),
        "macro_f1_mean": 100.0 * float(np.mean([seed.macro_f1 for seed in found])),
        "precision": _percents(mean_of([seed.precision for seed in found])),
        "f1": _percents(mean_of([seed.f1 for seed in found])),
        "class_samples": counts.tolist(),
        "largest_share": 100.0 * float(counts.max()) / len(labels),
    }


def _sets(outcomes: Sequence[Outcome], labels: Array, level: float, classes: int) -> dict[str, Json]:
    """What prediction sets are worth; all null where an adapter kept no samples to make sets by, and `sets_by` says so."""
    names = ("coverage_mean", "coverage_ci95", "set_size_mean", "single_share", "class_coverage", "worst_coverage")
    shared: dict[str, Json] = {
        "coverage_promised": 100.0 * level,
        "sets_by": "; ".join(dict.fromkeys(outcome.sets_by for outcome in outcomes)),
    }
    if not all("in_set" in outcome.columns for outcome in outcomes):
        return {**dict.fromkeys(names), **shared}
    covered = np.mean([outcome.columns["in_set"] for outcome in outcomes], axis=0)
    sizes = np.stack([outcome.columns["set_size"] for outcome in outcomes])
    by_class = metrics.per_class_accuracy(covered, labels, classes)
    return {
        "coverage_mean": 100.0 * float(covered.mean()),
        "coverage_ci95": _interval(outcomes, "in_set")[0],
        "set_size_mean": float(sizes.mean()),
        "single_share": 100.0 * float((sizes == 1).mean()),
        "class_coverage": _percents(by_class),
        "worst_coverage": 100.0 * float(np.nanmin(by_class)),
        **shared,
    }


def _percents(shares: Array) -> list[Json]:
    return [None if np.isnan(share) else 100.0 * float(share) for share in shares]


def _memory(summaries: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
    """The most memory that training took under any seed; None where the system did not tell."""
    peaks = [summary["peak_bytes"] for summary in summaries]
    return {"peak_bytes": None if None in peaks else max(int(peak) for peak in peaks)}


def _pooled(summaries: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
    """What images without labels a method learned from under all seeds, in words; nothing is said of none."""
    found = dict.fromkeys(pool_words(summary["pool"]) for summary in summaries if "pool" in summary)
    return {"pool": "; ".join(found)} if found else {}


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


def _interval(outcomes: Sequence[Outcome], column: str) -> tuple[list[float], str]:
    """The 95 % interval in percent of the mean of a column of shares, and its kind.

    Over seeds where they draw different supports. With one support (fixed, or a single seed), and for a method that keeps
    nothing of the support (its accuracy is the same under every seed), the uncertainty left is that of the test samples.
    """
    if _varies(outcomes):
        low, high = metrics.accuracy_interval(np.asarray([outcome.columns[column].mean() for outcome in outcomes]))
        return [100.0 * low, 100.0 * high], OVER_SEEDS
    low, high = metrics.bootstrap_interval(np.mean([outcome.columns[column] for outcome in outcomes], axis=0), BOOTSTRAP_SEED)
    return [100.0 * low, 100.0 * high], OVER_SAMPLES


def _varies(outcomes: Sequence[Outcome]) -> bool:
    """Whether a method met different supports under different seeds, and uses them."""
    return len({outcome.run.cache.fingerprint for outcome in outcomes}) > 1 and any(outcome.uses_support for outcome in outcomes)


def differences_of(groups: Mapping[str, Sequence[Outcome]]) -> list[dict[str, Json]]:
    """The difference of every pair of methods on the same samples, later minus earlier, seeds averaged; in points.

    The interval is a paired bootstrap over samples; where a method's supports differ from seed to seed it holds their luck too.
    """
    names = list(groups)
    columns = np.stack([np.mean([outcome.correct for outcome in groups[name]], axis=0) for name in names], axis=1)
    means, resampled = columns.mean(axis=0), metrics.resampled_means(columns, BOOTSTRAP_SEED)
    rows = []
    for second, first in combinations(range(len(names)), 2):
        result = metrics.difference_of(float(means[first]), float(means[second]), resampled[:, first] - resampled[:, second])
        gaps = _gaps(groups[names[first]], groups[names[second]])
        if gaps is not None:
            result = metrics.with_seeds(result, gaps.mean(axis=0), metrics.shared_part(gaps))
        interval = [100.0 * result.low, 100.0 * result.high]
        row: dict[str, Json] = {"method": names[first], "against": names[second], "difference": 100.0 * result.mean}
        rows.append({**row, "ci95": interval, "ci_kind": OVER_SAMPLES if gaps is None else OVER_BOTH, "tie": result.tie})
    return rows


def _gaps(outcomes: Sequence[Outcome], others: Sequence[Outcome]) -> Array | None:
    """The difference (T, S) on each sample under each seed that both have; None where supports do not differ, or seeds are not shared."""
    correct, other = ({outcome.run.seed: outcome.correct.astype(np.float64) for outcome in group} for group in (outcomes, others))
    seeds = [seed for seed in correct if seed in other]
    if len(seeds) < 2 or not (_varies(outcomes) or _varies(others)):
        return None
    return np.stack([correct[seed] - other[seed] for seed in seeds], axis=1)
