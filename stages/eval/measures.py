"""What answers are worth beside their accuracy: class by class, and by how sure they were. Plain NumPy on per-sample columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xmap.store.formats.tables import Array


@dataclass(frozen=True)
class ClassMeasures:
    """Shares (N,) in [0, 1] of each class; NaN where there is nothing to share: no sample for recall, no answer for precision."""

    recall: Array
    precision: Array
    f1: Array

    @property
    def balanced_accuracy(self) -> float:
        """The mean recall of the classes that have samples."""
        return float(np.nanmean(self.recall))

    @property
    def macro_f1(self) -> float:
        """The mean F1 of the classes that have samples or answers."""
        return float(np.nanmean(self.f1))


def class_measures(predicted: Array, labels: Array, classes: int) -> ClassMeasures:
    """Recall, precision and F1 of answers (B,) to samples of `labels` (B,), B at least 1."""
    samples, answers = (np.bincount(column, minlength=classes).astype(np.float64) for column in (labels, predicted))
    right = np.bincount(labels[predicted == labels], minlength=classes).astype(np.float64)
    return ClassMeasures(_share(right, samples), _share(right, answers), _share(2.0 * right, samples + answers))


def _share(part: Array, whole: Array) -> Array:
    shares: Array = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return shares


def mean_of(columns: Sequence[Array]) -> Array:
    """The mean (N,) over seeds of shares (N,), of those that are numbers; NaN where none is."""
    found = np.stack(columns)
    there = ~np.isnan(found)
    return _share(np.where(there, found, 0.0).sum(axis=0), there.sum(axis=0).astype(np.float64))


def risk_coverage(confidence: Array, correct: Array) -> float:
    """Area under risk against coverage (Geifman et al., ICLR 2019): the error among the surest answers, averaged over all their numbers.

    Among answers that are equally sure no order is better: each counts as their mean.
    """
    _, tied, counts = np.unique(-confidence.astype(np.float64), return_inverse=True, return_counts=True)
    errors = np.bincount(tied, weights=1.0 - correct.astype(np.float64)) / counts
    surest = np.repeat(errors, counts).cumsum()
    return float((surest / np.arange(1, len(surest) + 1)).mean())
