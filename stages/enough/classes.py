"""What each class gets of more labels: its recall at half of the largest support and at all of it, and how far that can be told.

A class has few samples kept apart, so every share has its interval, and what the interval leaves open is called so. Plain NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xmap.stages.enough.measure import Answers
from xmap.store.formats.tables import Array

Z = 1.96
# With fewer samples no interval says anything.
LEAST = 5
# In the order in which they are of use.
LABEL, LOOK, RISING, REST, UNKNOWN = (
    "label more of these",
    "weak, and more labels have not shown to help",
    "still rising",
    "as the rest",
    "too few samples to tell",
)
VERDICTS = (LABEL, LOOK, RISING, REST, UNKNOWN)


@dataclass(frozen=True)
class ClassRow:
    """One class: how many `samples` it is measured on, its recall at both supports and the rise between them, in percent and points.

    Numbers are None where no sample of the class was kept apart. `low` and `high` are the 95 % interval of the rise.
    """

    name: str
    samples: int
    before: float | None
    recall: float | None
    rise: float | None
    low: float | None
    high: float | None
    verdict: str


def rows_of(before: Sequence[Answers], after: Sequence[Answers], names: Sequence[str]) -> list[ClassRow]:
    """A row a class, those first that more labels would help, then by recall. Answers are those of all seeds at each support.

    A sample that several seeds keep apart counts once.
    """
    shares = [_shares(group, len(names)) for group in (before, after)]
    accuracy = float(np.mean([1.0 - found.wrong.mean() for found in after]))
    rows = [_row(name, shares[0][label], shares[1][label], accuracy) for label, name in enumerate(names)]
    return sorted(rows, key=lambda row: (VERDICTS.index(row.verdict), row.recall if row.recall is not None else math.inf, row.name))


def _shares(group: Sequence[Answers], classes: int) -> list[dict[str, float]]:
    """For each class how often each of its samples is answered rightly, over the seeds that kept it."""
    seen: list[dict[str, list[bool]]] = [{} for _ in range(classes)]
    for found in group:
        for sample, label, wrong in zip(found.sample_ids, found.labels.tolist(), found.wrong.tolist(), strict=True):
            seen[label].setdefault(sample, []).append(not wrong)
    return [{sample: sum(right) / len(right) for sample, right in samples.items()} for samples in seen]


def _row(name: str, before: dict[str, float], after: dict[str, float], accuracy: float) -> ClassRow:
    samples = [sample for sample in after if sample in before]
    if not samples:
        return ClassRow(name, 0, None, None, None, None, None, UNKNOWN)
    first, last = (np.asarray([found[sample] for sample in samples]) for found in (before, after))
    recall, rise = float(last.mean()), float((last - first).mean())
    low, high = rise_interval(last - first)
    weak, rising = wilson(recall, len(samples))[1] < accuracy, low > 0.0
    known = {(True, True): LABEL, (True, False): LOOK, (False, True): RISING, (False, False): REST}[weak, rising]
    verdict = known if len(samples) >= LEAST else UNKNOWN
    return ClassRow(name, len(samples), 100 * float(first.mean()), 100 * recall, 100 * rise, 100 * low, 100 * high, verdict)


def rise_interval(changes: Array) -> tuple[float, float]:
    """The 95 % interval of the mean change of samples (B,), each in [-1, 1].

    As if half a sample more had risen, half one fallen and half one stayed: three samples that all stayed do not say that all do.
    """
    up, down = float(changes.clip(min=0.0).sum()) + 0.5, float((-changes).clip(min=0.0).sum()) + 0.5
    total = len(changes) + 1.5
    mean = (up - down) / total
    half = Z * math.sqrt(max((up + down) / total - mean**2, 0.0) / (total + 1.0))
    return max(mean - half, -1.0), min(mean + half, 1.0)


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of `count` (Wilson, 1927)."""
    centre, half = share + Z**2 / (2 * count), Z * math.sqrt(share * (1.0 - share) / count + Z**2 / (4 * count**2))
    return (centre - half) / (1 + Z**2 / count), (centre + half) / (1 + Z**2 / count)
