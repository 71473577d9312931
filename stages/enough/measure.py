"""From the answers of adapters at growing supports to the points of a curve, and to what each class gets.

Answers are on samples kept apart, which chose nothing. Plain NumPy.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from xmap.stages.enough.curve import Measured
from xmap.store.formats.tables import Array


@dataclass(frozen=True)
class Answers:
    """What the adapter of one seed at `shots` said of the samples kept apart: ids (B), labels (B,) and predictions (B,) int."""

    shots: int
    seed: int
    sample_ids: Sequence[str]
    labels: Array
    predicted: Array

    @property
    def wrong(self) -> Array:
        found: Array = self.labels != self.predicted
        return found

    def on(self, samples: Container[str]) -> Answers:
        """The answers on some of the samples."""
        rows = [row for row, sample in enumerate(self.sample_ids) if sample in samples]
        return replace(self, sample_ids=[self.sample_ids[row] for row in rows], labels=self.labels[rows], predicted=self.predicted[rows])


def paired(answers: Sequence[Answers]) -> list[Answers]:
    """The same answers on the samples alone that a seed keeps apart from all its supports.

    Where these are drawn from the training images, each leaves other samples, a large one none of small classes: what a point gained by
    such a change would be taken for the labels' doing.
    """
    always = {seed: _always([found for found in answers if found.seed == seed]) for seed in {found.seed for found in answers}}
    return [found.on(always[found.seed]) for found in answers]


def _always(answers: Sequence[Answers]) -> set[str]:
    return set(answers[0].sample_ids).intersection(*(found.sample_ids for found in answers[1:]))


def points_of(answers: Sequence[Answers], labels_of: Mapping[int, float]) -> Measured:
    """The mean error over seeds at each number of shots; `labels_of` says how many labels a class these are on average.

    The covariance holds what the samples do, which the points share, and what the seeds do: their supports, and the samples that
    each keeps apart by itself.
    """
    shots = sorted({found.shots for found in answers})
    by_seed = np.asarray([[found.wrong.mean() for found in _at(answers, count)] for count in shots])
    covariance = _by_samples(answers, shots)
    samples = np.asarray([np.mean([len(found.labels) for found in _at(answers, count)]) for count in shots])
    covariance[np.diag_indices(len(shots))] += _luck(by_seed, covariance.diagonal(), samples)
    return Measured(np.asarray([labels_of[count] for count in shots]), by_seed.mean(axis=1), covariance)


def _at(answers: Iterable[Answers], shots: int) -> list[Answers]:
    return [found for found in answers if found.shots == shots]


def _by_samples(answers: Sequence[Answers], shots: Sequence[int]) -> Array:
    """The covariance (P, P) of the points over samples: what each sample adds to all of them, summed over samples."""
    places = {sample: row for row, sample in enumerate(dict.fromkeys(sample for found in answers for sample in found.sample_ids))}
    shares = np.zeros((len(places), len(shots)))
    for column, count in enumerate(shots):
        group = _at(answers, count)
        for found in group:
            rows = [places[sample] for sample in found.sample_ids]
            shares[rows, column] += (found.wrong - found.wrong.mean()) / len(rows) / len(group)
    # As if one sample more had been answered differently: that so few all answer alike does not say that all do.
    covariance: Array = shares.T @ shares + np.eye(len(shots)) / len(places) ** 2
    return covariance


def _luck(by_seed: Array, by_samples: Array, samples: Array) -> Array:
    """The variance (P,) of the points by the supports that seeds draw, of errors (P, S) on so many samples (P,) each.

    Of the variance between seeds, that part is taken off which the samples make that one seed keeps and another does not. Few seeds
    know little of it, so half is each point's own, half what all points say of it together.
    """
    errors, seeds = by_seed.mean(axis=1), by_seed.shape[1]
    if seeds < 2:
        return np.zeros(len(by_seed))
    spread = (errors * (1.0 - errors)).clip(min=1e-4)
    apart = (spread / samples - by_samples).clip(min=0.0) * seeds / (seeds - 1)
    own = (by_seed.var(axis=1, ddof=1) - apart).clip(min=0.0)
    found: Array = (own + spread * (own / spread).mean()) / 2.0 / seeds
    return found
