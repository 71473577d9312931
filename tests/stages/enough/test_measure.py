"""From answers to points: means over seeds, and how uncertain samples and supports make them."""

from __future__ import annotations

import numpy as np
import pytest

from xmap.stages.enough.measure import Answers, paired, points_of


def answers(shots: int, seed: int, wrong: list[bool], first: int = 0) -> Answers:
    labels = np.zeros(len(wrong), np.int32)
    return Answers(shots, seed, [f"{first + row:03d}" for row in range(len(wrong))], labels, labels + np.asarray(wrong))


def test_points_are_means_over_seeds_at_their_labels() -> None:
    found = points_of(
        [answers(2, 1, [True, False, False, False]), answers(1, 1, [True, True, False, False]), answers(1, 2, [True, True, True, False]),
         answers(2, 2, [True, False, False, True])],
        {1: 1.0, 2: 1.75},
    )  # fmt: skip
    assert found.labels.tolist() == [1.0, 1.75]
    assert found.errors.tolist() == [0.625, 0.375]


def test_samples_that_points_share_bind_them() -> None:
    wrong = np.random.default_rng(1).random(400) < 0.3
    same = points_of([answers(shots, 1, wrong.tolist()) for shots in (1, 2)], {1: 1, 2: 2}).covariance
    apart = points_of([answers(shots, 1, wrong.tolist(), first=400 * shots) for shots in (1, 2)], {1: 1, 2: 2}).covariance
    error = wrong.mean()
    assert same[0, 0] == pytest.approx(error * (1 - error) / 400, rel=0.02)
    assert same[0, 1] == pytest.approx(same[0, 0], rel=0.02)
    assert apart[0, 1] == 0.0


def test_supports_that_differ_in_worth_make_points_uncertain() -> None:
    def deviation(errors: list[float]) -> float:
        found = [answers(shots, seed, [row < 1000 * error for row in range(1000)]) for shots in (1, 2) for seed, error in enumerate(errors)]
        return float(points_of(found, {1: 1, 2: 2}).covariance[0, 0] ** 0.5)

    assert deviation([0.1, 0.2, 0.3]) > 2 * deviation([0.19, 0.2, 0.21])
    # Many seeds know the mean better than few.
    assert deviation([0.1, 0.2, 0.3] * 5) < deviation([0.1, 0.2, 0.3])


def test_no_wrong_answer_among_a_few_does_not_say_that_there_are_none() -> None:
    found = points_of([answers(shots, 1, [False] * 10) for shots in (1, 2)], {1: 1, 2: 2})
    assert found.errors.tolist() == [0.0, 0.0]
    assert found.covariance[0, 0] ** 0.5 > 0.05
    np.linalg.cholesky(found.covariance)


def test_points_are_on_the_samples_that_a_seed_keeps_apart_from_all_its_supports() -> None:
    # The larger support of seed 1 took two of its samples, those of a class that is always wrong.
    found = paired([answers(1, 1, [False, False, True, True]), answers(2, 1, [False, True]), answers(1, 2, [True]), answers(2, 2, [False])])
    assert [(one.shots, one.seed, list(one.sample_ids), one.wrong.tolist()) for one in found] == [
        (1, 1, ["000", "001"], [False, False]), (2, 1, ["000", "001"], [False, True]), (1, 2, ["000"], [True]), (2, 2, ["000"], [False]),
    ]  # fmt: skip
