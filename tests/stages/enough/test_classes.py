"""What each class gets of more labels, and when that cannot be told."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xmap.stages.enough.classes import LABEL, LOOK, REST, RISING, UNKNOWN, rise_interval, rows_of, wilson
from xmap.stages.enough.measure import Answers

NAMES = ("fine", "helped", "stuck", "rising", "rare", "unseen")
COUNTS = (40, 40, 40, 40, 2, 0)


def answers(shots: int, right: tuple[float, ...], seed: int = 1) -> Answers:
    labels = np.repeat(np.arange(len(NAMES)), COUNTS)
    places = np.concatenate([np.arange(count) / max(count, 1) for count in COUNTS])
    hit = places < np.asarray(right)[labels]
    return Answers(shots, seed, [f"{row}" for row in range(len(labels))], labels, np.where(hit, labels, (labels + 1) % len(NAMES)))


def test_classes_are_told_apart_and_those_that_labels_help_come_first() -> None:
    before, after = answers(8, (1.0, 0.2, 0.4, 0.6, 0.0, 0.0)), answers(16, (1.0, 0.5, 0.4, 0.95, 0.5, 0.0))
    rows = rows_of([before], [after], NAMES)
    assert {row.name: row.verdict for row in rows} == {
        "helped": LABEL, "stuck": LOOK, "rising": RISING, "fine": REST, "rare": UNKNOWN, "unseen": UNKNOWN,
    }  # fmt: skip
    assert rows[0].name == "helped"
    assert (rows[0].samples, rows[0].before, rows[0].recall, rows[0].rise) == (40, 20.0, 50.0, 30.0)
    assert rows[-1].name == "unseen"
    assert rows[-1].recall is None


def test_a_sample_of_several_seeds_counts_once() -> None:
    before, after = answers(8, (0.5,) * 6), answers(16, (0.75,) * 6)
    once = rows_of([before], [after], NAMES)
    assert rows_of([before, answers(8, (0.5,) * 6, 2)], [after, answers(16, (0.75,) * 6, 2)], NAMES) == once


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=30))
def test_the_interval_of_a_rise_lies_in_its_bounds_and_mirrors(changes: list[float]) -> None:
    found = np.asarray(changes)
    low, high = rise_interval(found)
    assert -1.0 <= low < high <= 1.0
    mirrored = rise_interval(-found)
    np.testing.assert_allclose((low, high), (-mirrored[1], -mirrored[0]))


def test_few_samples_say_little() -> None:
    assert rise_interval(np.zeros(3))[1] > 0.3
    assert rise_interval(np.zeros(300))[1] < 0.02
    low, high = wilson(1.0, 5)
    assert low < 0.6 < high
