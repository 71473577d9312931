"""What a result is measured by. Plain NumPy on per-sample columns: no metric here needs the logits again.

Accuracies are shares in [0, 1]; callers turn them into percent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from xmap.store.formats.tables import Array

LEVEL = 0.95
RESAMPLES = 2000
BOOTSTRAP_SEED = 0
# What an interval is over.
OVER_SEEDS = "student-t over seeds"
OVER_SAMPLES = "bootstrap over test samples"
OVER_BOTH = "student-t over seeds and bootstrap over test samples"
# Counts drawn at once: 16 MB.
DRAWN = 1 << 21


@dataclass(frozen=True)
class Difference:
    """`first` minus `second` in mean accuracy, its 95 % interval, and whether that holds zero."""

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


def auroc(known: Array, strange: Array) -> float:
    """How often (percent) one of the second scores exceeds one of the first, ties counted half: the area under the ROC curve."""
    below, upto = (np.searchsorted(np.sort(known), strange, side=side) for side in ("left", "right"))
    return 50.0 * float((below + upto).mean()) / len(known)


def false_accepts(known: Array, strange: Array, share: float = 0.95) -> float:
    """The share (percent) of the second scores that are accepted where a `share` of the first, the lowest, are."""
    return 100.0 * float((strange <= np.quantile(known, share)).mean())


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


def student_interval(values: Array) -> tuple[float, float]:
    """The 95 % interval of the mean of independent runs, by Student's t. Raises `ValueError` for fewer than two."""
    if len(values) < 2:
        raise ValueError("an interval over seeds needs two of them")
    mean = float(np.mean(values))
    half = student_quantile(LEVEL, len(values) - 1) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return mean - half, mean + half


def accuracy_interval(accuracies: Array) -> tuple[float, float]:
    """The 95 % interval of the mean of accuracies in [0, 1] over seeds: Student's, which knows no bounds, cut to them."""
    low, high = student_interval(accuracies)
    return max(low, 0.0), min(high, 1.0)


def resampled_means(columns: Array, seed: int, resamples: int = RESAMPLES) -> Array:
    """Bootstrap means (resamples, m) of per-sample columns (B, m): each resample draws the same samples for all columns.

    One pass serves single intervals and paired differences. Of a resample, the mean depends on how often each distinct row is drawn
    alone, which is multinomial: correctness has few distinct rows, however many samples there are.
    """
    generator = np.random.default_rng(seed)
    rows, counts = _distinct_rows(columns.astype(np.float64))
    shares, samples = counts / len(columns), len(columns)
    block = max(1, DRAWN // len(rows))
    sizes = [min(block, resamples - start) for start in range(0, resamples, block)]
    means: Array = np.concatenate([generator.multinomial(samples, shares, size) @ rows / samples for size in sizes])
    return means


def _distinct_rows(columns: Array) -> tuple[Array, Array]:
    """The distinct rows (D, m) of (B, m) in a fixed order, and how often each is there."""
    codes = np.zeros(len(columns), np.int64)
    for column in columns.T:
        values, own = np.unique(column, return_inverse=True)
        codes = np.unique(codes * len(values) + own, return_inverse=True)[1]
    _, first, counts = np.unique(codes, return_index=True, return_counts=True)
    return columns[first], counts


def percentile_interval(means: Array) -> tuple[float, float]:
    """The central 95 % of bootstrap means (resamples,)."""
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def bootstrap_interval(values: Array, seed: int) -> tuple[float, float]:
    """The 95 % interval of the mean of per-sample values (B,) over test samples."""
    return percentile_interval(resampled_means(values[:, None], seed)[:, 0])


def paired_difference(first: Array, second: Array, seed: int) -> Difference:
    """The difference of two methods on the same samples (B,), with its paired bootstrap interval."""
    means = resampled_means(np.stack([first, second], axis=1), seed)
    return difference_of(float(np.mean(first)), float(np.mean(second)), means[:, 0] - means[:, 1])


def difference_of(first: float, second: float, resampled: Array) -> Difference:
    """A `Difference` from two means and the resampled differences (resamples,)."""
    low, high = percentile_interval(resampled)
    return Difference(first - second, low, high)


def with_seeds(found: Difference, gaps: Array, shared: float = 1.0) -> Difference:
    """The same difference with an interval that holds the luck of the supports too; `gaps` (S,) are the differences by seed.

    Student's t over seeds knows one draw of the test images, the bootstrap one draw of the supports: their halves are added as
    independent errors are. What test images do to each seed by itself is in the spread over seeds already, so of the bootstrap's
    variance only the part `shared` by all seeds is added. Raises `ValueError` for one seed.
    """
    low, high = student_interval(gaps)
    half, part = (high - low) / 2.0, math.sqrt(shared)
    below, above = (math.hypot(half, part * side) for side in (found.mean - found.low, found.high - found.mean))
    return Difference(found.mean, found.mean - below, found.mean + above)


def shared_part(gaps: Array) -> float:
    """The part in [0, 1] of the variance over samples of the mean over seeds that all seeds share, from `gaps` (B, S), S at least 2.

    That is the mean covariance of two seeds over the variance of the mean of all.
    """
    seeds = gaps.shape[1]
    whole, each = float(gaps.mean(axis=1).var()), float(gaps.var(axis=0).mean())
    common = (seeds * whole - each) / (seeds - 1)
    return min(max(common / whole, 0.0), 1.0) if whole > 0 else 0.0
