"""Prediction sets by split conformal prediction (Vovk et al., 2005; Papadopoulos et al., 2002), with the nonconformity of `kept`.

    rank = ceil((n + 1) level)        of n samples that chose nothing
    q    = their rank-th smallest nonconformity; infinite where rank > n
    set  = the classes whose nonconformity is at most q, and always the answer itself

An image exchangeable with the n has its class in the set with a probability of at least `level`: the rank of its own nonconformity among
n + 1 is uniform. A quantile clipped to the n would promise less than it says, so that too few samples give all classes instead.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from xmap.stages.adapters.kept import OUT_OF_SAMPLE, Kept, nonconformity
from xmap.stages.datasets.dataset import TRAIN, VAL
from xmap.stages.fewshot.draw import KEPT_WORDS, NOTHING_KEPT
from xmap.store.errors import InputError, UnknownName
from xmap.store.formats.tables import Array

if TYPE_CHECKING:
    from torch import Tensor

BY = ("all", "class")
ASKED = "sets of {}: the share of images whose class is in their set"
# What is proven of sets, by where their samples come from.
PROMISES: Mapping[str, str] = {
    KEPT_WORDS[VAL]: "at least {} % of the sets of such images have their class (split conformal)",
    KEPT_WORDS[TRAIN]: "at least {} % of the sets have their class where classes are as frequent as in the training images left over "
    "(split conformal)",
    OUT_OF_SAMPLE: "about {} % of the sets have their class, which nothing proves (cross-conformal by folds)",
    NOTHING_KEPT: "",
}


def rank_of(samples: int, level: float) -> int:
    """Which of the nonconformities of so many samples, rising, is the threshold of a level; more than there are where they are too few."""
    # As the level is written: in floating point, 100 times 0.55 is more than 55.
    return math.ceil((samples + 1) * Fraction(str(level)))


def fewest(level: float) -> int:
    """The fewest samples that a promise of a level takes: `ceil(1 / alpha) - 1`, where alpha is what may fail."""
    return math.ceil(1 / (1 - Fraction(str(level)))) - 1


def threshold(scores: Array, level: float) -> float:
    """The largest nonconformity that belongs in a set of a level, by those of samples (n,) that chose nothing; infinite for too few."""
    rank = rank_of(len(scores), level)
    return float(np.partition(scores, rank - 1)[rank - 1]) if rank <= len(scores) else math.inf


def require_share(share: float, asked: str, usual: float) -> None:
    """Raise `InputError` for what cannot be promised of a share of images; `asked` says what was, and of which images."""
    if not 0 < share < 1:
        hint = share / 100 if 1 < share < 100 else usual
        raise InputError(f"{asked.format(f'{share:g}')} lies between 0 and 1, such as {hint:g}.")


@dataclass(frozen=True)
class Sets:
    """Sets of a level by an adapter's kept samples, with one threshold for all classes, or one for each that has samples enough.

    By class, the classes with too few share a threshold of their own. Raises `InputError` for a level that is no share, and
    `UnknownName`.
    """

    kept: Kept
    level: float
    by: str = "all"

    def __post_init__(self) -> None:
        require_share(self.level, ASKED, 0.9)
        if self.by not in BY:
            raise UnknownName("way to make sets", self.by, BY)

    @cached_property
    def own(self) -> tuple[int, ...]:
        """The classes that have a threshold of their own, rising."""
        counts = Counter(self.kept.labels.tolist()) if self.by == "class" else {}
        return tuple(sorted(label for label, count in counts.items() if count >= fewest(self.level)))

    def limits(self, classes: int) -> Array:
        """The threshold (N,) float64 of each of so many classes."""
        labels, scores = self.kept.labels, self.kept.nonconformity
        limits: Array = np.full(classes, threshold(scores[~np.isin(labels, self.own)], self.level))
        for label in self.own:
            limits[label] = threshold(scores[labels == label], self.level)
        return limits

    def members(self, logits: Tensor) -> Tensor:
        """Which classes (B, N) bool are in the sets of raw logits (B, N)."""
        import torch

        return torch.from_numpy(self.within(nonconformity(logits).cpu().numpy(), logits.argmax(1).cpu().numpy()))

    def within(self, misfits: Array, answers: Array) -> Array:
        """The same (B, N) bool by the nonconformity (B, N) float64 of every class and the answers (B,), labels."""
        inside: Array = misfits <= self.limits(misfits.shape[1])
        inside[np.arange(len(answers)), answers] = True
        return inside

    @property
    def too_few(self) -> bool:
        """Whether every set is all classes, as there are too few samples for the promise."""
        return not self.own and len(self.kept) < fewest(self.level)

    @property
    def words(self) -> str:
        """What the sets stand on, and why they are all classes where they are."""
        found, needed = str(self.kept), fewest(self.level)
        if self.too_few:
            return f"{found}; {100 * self.level:g} % takes {needed:,}, so that every set is all classes"
        if not self.own:
            return f"{found}; no class has {needed:,} alone, all share a threshold" if self.by == "class" else found
        rest = int((~np.isin(self.kept.labels, self.own)).sum())
        others = "share a threshold" if rest >= needed else "are in every set"
        own = "1 class" if len(self.own) == 1 else f"{len(self.own):,} classes"
        return f"{found}; {own} with {needed:,} or more alone, any others {others}"

    @property
    def promise(self) -> str:
        """The guarantee by name; empty where the sets are all classes."""
        each = "in each class that stands alone, " if self.own else ""
        return "" if self.too_few else each + PROMISES[self.kept.source].format(f"{100 * self.level:g}")

    def __str__(self) -> str:
        return f"sets of {100 * self.level:g} %: " + "; ".join(part for part in (self.words, self.promise) if part)
