"""The learning curve: laws that hold for any points, and points from curves that are known."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xmap.stages.enough.curve import Curve, Foretold, Measured, fit_curve

SHOTS = np.asarray([1.0, 2.0, 4.0, 8.0])
POINTS = st.lists(st.floats(0.0, 1.0), min_size=2, max_size=6)


def measured(errors: list[float], samples: float = 500.0) -> Measured:
    found = np.asarray(errors)
    spread = found.clip(0.01, 0.99) * (1 - found.clip(0.01, 0.99)) / samples
    return Measured(2.0 ** np.arange(len(found)), found, np.diag(spread))


def ordered(found: Foretold) -> bool:
    return 0.0 <= found.low <= found.middle + 1e-12 and found.middle <= found.high + 1e-12 <= 1.0 + 1e-9


@settings(max_examples=25)
@given(POINTS)
def test_more_labels_never_make_more_errors_and_all_are_shares(errors: list[float]) -> None:
    curve = fit_curve(measured(errors))
    found = [curve.errors(labels) for labels in (1.0, 2.0, 8.0, 64.0, 1e6)]
    assert all((after <= before + 1e-12).all() for before, after in pairwise(found))
    assert all(((drawn >= 0) & (drawn <= 1)).all() for drawn in found)
    last = float(2.0 ** (len(errors) - 1))
    assert curve.gain(last, 2 * last).low >= -1e-12
    assert ordered(curve.error(2 * last))
    assert ordered(curve.measurement(2 * last))


@settings(max_examples=25)
@given(POINTS, st.floats(0.5, 20.0))
def test_the_unit_of_labels_does_not_matter(errors: list[float], unit: float) -> None:
    points = measured(errors)
    once, scaled = fit_curve(points), fit_curve(Measured(points.labels * unit, points.errors, points.covariance))
    np.testing.assert_allclose(scaled.errors(20 * unit), once.errors(20), atol=1e-9)


@pytest.mark.parametrize(("floor", "rise", "rate"), [(0.02, 0.3, 0.5), (0.0, 0.2, 0.3), (0.1, 0.4, 1.0), (0.05, 0.0, 0.5)])
def test_what_follows_a_curve_is_foretold(floor: float, rise: float, rate: float) -> None:
    def true(labels: float) -> float:
        return floor + rise * labels**-rate

    curve = fit_curve(measured([true(labels) for labels in SHOTS], samples=5000.0))
    for labels in (8.0, 16.0, 32.0):
        found = curve.error(labels)
        assert found.low <= true(labels) <= found.high
        assert abs(found.middle - true(labels)) < 0.012
    gain = curve.gain(8, 16)
    assert gain.low <= true(8) - true(16) <= gain.high


def covered(samples: int, trials: int = 60) -> tuple[float, float]:
    """How often intervals of curves fitted to noisy points of random curves hold what is measured at 16 labels, and the true gain."""
    random, measurements, gains = np.random.default_rng(1), 0, 0
    for _ in range(trials):
        floor, rise, rate = random.uniform(0, 0.1), random.uniform(0.02, 0.4), np.exp(random.normal(np.log(0.5), 0.5))
        true = floor + rise * np.asarray([*SHOTS, 16.0]) ** -rate
        found = random.binomial(samples, true) / samples
        curve = fit_curve(Measured(SHOTS, found[:-1], np.diag(true * (1 - true) / samples)[:-1, :-1]))
        foretold, gain = curve.measurement(16.0), curve.gain(8.0, 16.0)
        measurements += foretold.low <= found[-1] <= foretold.high
        gains += gain.low <= true[-2] - true[-1] <= gain.high
    return measurements / trials, gains / trials


@pytest.mark.parametrize("samples", [100, 1000])
def test_intervals_hold_what_they_promise(samples: int) -> None:
    assert min(covered(samples)) >= 0.9


def test_fewer_samples_make_it_less_sure() -> None:
    def width(samples: float) -> float:
        found: Foretold = fit_curve(measured([0.3, 0.22, 0.16, 0.12], samples)).measurement(16.0)
        return found.high - found.low

    assert width(50) > width(500) > width(5000)


def test_two_points_do_and_one_does_not() -> None:
    assert isinstance(fit_curve(measured([0.3, 0.2])), Curve)
    with pytest.raises(ValueError, match="two points"):
        fit_curve(measured([0.3]))
