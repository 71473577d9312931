"""What a result is measured by. Plain NumPy on per-sample columns: no metric here needs the logits again.

Accuracies are shares in [0, 1]; callers turn them into percent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from store.tables import Array

RESAMPLES = 2000


@dataclass(frozen=True)
class Difference:
    """`first` minus `second` in mean accuracy, its 95 % interval, and whether the interval holds zero."""

    mean: float
    low: float
    high: float

    @property
    def tie(self) -> bool:
        return self.low <= 0.0 <= self.high


def top_k_hits(logits: Array, labels: Array, k: int) -> Array:
    """Whether the true class is among the `k` largest logits (B,) bool. Among equal logits the lower class goes first.

    `logits` (B, N), `labels` (B,). With fewer than `k` classes everything is a hit.
    """
    true = np.take_along_axis(logits, labels[:, None].astype(np.int64), axis=1)
    before = np.arange(logits.shape[1])[None, :] < labels[:, None]
    rank = ((logits > true) | ((logits == true) & before)).sum(axis=1)
    hits: Array = rank < k
    return hits


def per_class_accuracy(correct: Array, labels: Array, classes: int) -> Array:
    """Mean of `correct` (B,) over the samples of each class (N,); NaN for a class without samples."""
    counts = np.bincount(labels, minlength=classes).astype(np.float64)
    hits = np.bincount(labels, weights=correct.astype(np.float64), minlength=classes)
    shares: Array = np.divide(hits, counts, out=np.full(classes, np.nan), where=counts > 0)
    return shares


def calibration_error(confidence: Array, correct: Array, bins: int) -> float:
    """Expected calibration error (Naeini et al., 2015): equal-width bins `(i/bins, (i+1)/bins]`, weighted by their size."""
    if not len(confidence):
        return math.nan
    place = np.clip(np.ceil(confidence.astype(np.float64) * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(place, weights=correct.astype(np.float64) - confidence.astype(np.float64), minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def student_quantile(level: float, freedom: int) -> float:
    """The t for which a Student variable with `freedom` degrees lies in [-t, t] with probability `level`.

    Bisection over the closed form for whole degrees of freedom (Abramowitz and Stegun, 26.7.3 and 26.7.4).
    """
    if freedom < 1 or not 0.0 < level < 1.0:
        raise ValueError(f"no Student quantile for level {level} and {freedom} degrees of freedom")
    low, high = 0.0, math.pi / 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if _central_probability(middle, freedom) < level else (low, middle)
    return math.sqrt(freedom) * math.tan((low + high) / 2)


def _central_probability(angle: float, freedom: int) -> float:
    """P(|T| <= sqrt(freedom) tan(angle))."""
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term = total = 0.0
    for step in range(freedom // 2):
        if step == 0:
            term = cosine if odd else 1.0
        else:
            top, bottom = (2 * step, 2 * step + 1) if odd else (2 * step - 1, 2 * step)
            term *= top / bottom * cosine * cosine
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def student_interval(values: Array, level: float = 0.95) -> tuple[float, float]:
    """The interval of the mean of independent runs, by Student's t. Raises `ValueError` for fewer than two."""
    if len(values) < 2:
        raise ValueError("an interval over seeds needs two of them")
    mean = float(np.mean(values))
    half = student_quantile(level, len(values) - 1) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return mean - half, mean + half


def accuracy_interval(accuracies: Array) -> tuple[float, float]:
    """The 95 % interval of the mean of accuracies in [0, 1] over seeds: Student's, which knows no bounds, cut to them."""
    low, high = student_interval(accuracies)
    return max(low, 0.0), min(high, 1.0)


def resampled_means(columns: Array, seed: int, resamples: int = RESAMPLES) -> Array:
    """Bootstrap means (resamples, m) of per-sample columns (B, m): each resample draws the same samples for all columns.

    One pass serves single intervals and paired differences; samples are counted, never copied.
    """
    generator = np.random.default_rng(seed)
    samples = len(columns)
    values = columns.astype(np.float64)
    means = np.empty((resamples, columns.shape[1]))
    for resample in range(resamples):
        counts = np.bincount(generator.integers(0, samples, samples), minlength=samples)
        means[resample] = counts @ values / samples
    return means


def percentile_interval(means: Array, level: float = 0.95) -> tuple[float, float]:
    """The central interval of bootstrap means (resamples,)."""
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bootstrap_interval(values: Array, seed: int, resamples: int = RESAMPLES) -> tuple[float, float]:
    """The 95 % interval of the mean of per-sample values (B,) over test samples."""
    return percentile_interval(resampled_means(values[:, None], seed, resamples)[:, 0])


def paired_difference(first: Array, second: Array, seed: int, resamples: int = RESAMPLES) -> Difference:
    """The difference of two methods on the same samples (B,), with its paired bootstrap interval."""
    means = resampled_means(np.stack([first, second], axis=1), seed, resamples)
    return difference_of(float(np.mean(first)), float(np.mean(second)), means[:, 0] - means[:, 1])


def difference_of(first: float, second: float, resampled: Array) -> Difference:
    """A `Difference` from two means and the resampled differences (resamples,)."""
    low, high = percentile_interval(resampled)
    return Difference(first - second, low, high)
