"""Whether more labels would help: what adapters at growing supports said of samples that chose nothing, the curve, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xmap.stages.adapters.kept import OUT_OF_SAMPLE, Kept, read_kept
from xmap.stages.enough.classes import LABEL, ClassRow, rows_of
from xmap.stages.enough.curve import Foretold, Measured, fit_curve
from xmap.stages.enough.measure import Answers, paired, points_of
from xmap.store.artifacts.artifact import Artifact
from xmap.store.errors import InputError

# Points of accuracy below which twice the work is not worth it.
WORTH = 1.0
STEPS = 24
NAMED = 3


@dataclass(frozen=True)
class Trained:
    """An adapter and the cache it was trained on."""

    adapter: Artifact
    cache: Artifact


@dataclass(frozen=True)
class Point:
    """Accuracy in percent with its 95 % interval at `shots`, which are `labels` in all; a mean over `seeds`, on `samples` kept apart."""

    shots: int
    labels: int
    seeds: int
    samples: int
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class Doubled:
    """What twice the labels of the largest support would bring: the accuracy foretold and the gain, each with its 95 % interval."""

    labels: int
    accuracy: float
    low: float
    high: float
    gain: float
    gain_low: float
    gain_high: float


@dataclass(frozen=True)
class Study:
    """The points, the curve through them as rows (labels, accuracy, low, high) up to twice the largest support, and what follows."""

    method: str
    points: tuple[Point, ...]
    curve: tuple[tuple[float, float, float, float], ...]
    doubled: Doubled
    classes: tuple[ClassRow, ...]
    verdict: str


def study(method: str, trained: Sequence[Trained]) -> Study:
    """What adapters of one method at several shots, of the same seeds at each, say together.

    Raises `InputError` where no samples were kept apart to measure on.
    """
    names = [str(name) for name in trained[0].cache.summary["classes"]]
    answers = answers_of(trained)
    labels = {answer.shots: int(one.cache.summary["entries"]) for answer, one in zip(answers, trained, strict=True)}
    shots = sorted(labels)
    measured = points_of(answers, {count: total / len(names) for count, total in labels.items()})
    groups = [[answer for answer in answers if answer.shots == count] for count in shots]
    points = tuple(_point(group, labels[group[0].shots], measured, place) for place, group in enumerate(groups))
    curve = fit_curve(measured)
    most = float(measured.labels[-1])
    ahead, gain = _turned(curve.measurement(2 * most)), curve.gain(most, 2 * most)
    doubled = Doubled(2 * labels[shots[-1]], ahead.middle, ahead.low, ahead.high, 100 * gain.middle, 100 * gain.low, 100 * gain.high)
    drawn = [(place, _turned(curve.error(place))) for place in np.geomspace(measured.labels[0], 2 * most, STEPS).tolist()]
    classes = rows_of(groups[-2], groups[-1], names)
    lines = tuple((place * len(names), found.middle, found.low, found.high) for place, found in drawn)
    return Study(method, points, lines, doubled, tuple(classes), verdict_of(doubled, classes))


def answers_of(trained: Sequence[Trained]) -> list[Answers]:
    """What adapters of the same classes said of the samples that those of their seed all keep apart. Raises `InputError` without such."""
    classes = len(trained[0].cache.summary["classes"])
    answers = paired([_answers(one.adapter, read_kept(one.adapter, classes)) for one in trained])
    if any(not len(found.labels) for found in answers):
        raise InputError("no sample is kept apart by the adapters of all numbers of shots; lower --most, or add --val-share 0.2.")
    return answers


def _answers(adapter: Artifact, kept: Kept | None) -> Answers:
    if kept is None or not len(kept) or kept.source == OUT_OF_SAMPLE:
        raise InputError(
            f"no sample was kept apart from the choices of {adapter.name!r}, so there is nothing to measure on; give images for "
            "validation: a split of that name, or --val-share 0.2."
        )
    return Answers(int(adapter.summary["shots"]), int(adapter.summary["seed"]), kept.sample_ids, kept.labels, kept.predicted)


def _point(group: Sequence[Answers], labels: int, measured: Measured, place: int) -> Point:
    samples = len({sample for answer in group for sample in answer.sample_ids})
    error, half = float(measured.errors[place]), 1.96 * float(np.sqrt(measured.covariance[place, place]))
    low, high = (100 * min(max(share, 0.0), 1.0) for share in (1 - error - half, 1 - error + half))
    return Point(group[0].shots, labels, len(group), samples, 100 * (1 - error), low, high)


def _turned(error: Foretold) -> Foretold:
    """An error as an accuracy in percent."""
    return Foretold(100 * (1 - error.middle), 100 * (1 - error.high), 100 * (1 - error.low))


def verdict_of(doubled: Doubled, classes: Sequence[ClassRow]) -> str:
    """One sentence: whether to go on, and with which classes."""
    span = f"{doubled.gain:.1f} points, 95 % interval [{doubled.gain_low:.1f}, {doubled.gain_high:.1f}]"
    brings = f"twice the labels ({doubled.labels:,}) are expected to bring {span}"
    if doubled.gain_high < WORTH:
        return f"You have labelled enough: {brings}."
    wanted = [repr(row.name) for row in classes if row.verdict == LABEL][:NAMED]
    which = f"; begin with {', '.join(wanted)}" if wanted else ""
    if doubled.gain_low >= WORTH:
        return f"More labels will help: {brings}{which}."
    return f"More labels may help, which these samples cannot settle: {brings}{which}."
