"""Metrics against loops, and intervals against scipy where it is installed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xmap.stages.eval import metrics


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
def test_top_k_is_the_place_in_a_stable_sort(classes: int, k: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    logits = random.integers(0, 4, (8, classes)).astype(np.float32)
    labels = random.integers(0, classes, 8)
    expected = [label in np.argsort(-row, kind="stable")[:k] for row, label in zip(logits, labels, strict=True)]
    assert metrics.top_k_hits(logits, labels, k).tolist() == expected


def test_a_class_without_samples_has_no_accuracy() -> None:
    found = metrics.per_class_accuracy(np.array([1, 0, 1]), np.array([0, 0, 2]), 3)
    assert found[[0, 2]].tolist() == [0.5, 1.0]
    assert np.isnan(found[1])


@settings(deadline=None)
@given(st.integers(2, 20), st.integers(0, 99))
def test_calibration_error_is_the_mean_gap_of_the_bins(bins: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    confidence, correct = random.random(50), random.random(50) < 0.6
    expected = 0.0
    for number in range(bins):
        inside = (confidence > number / bins) & (confidence <= (number + 1) / bins)
        if inside.any():
            expected += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    assert metrics.calibration_error(confidence, correct, bins) == pytest.approx(expected, abs=1e-9)


def test_calibration_error_at_the_ends() -> None:
    assert metrics.calibration_error(np.array([1.0, 0.0]), np.array([True, False]), 10) == 0.0
    assert np.isnan(metrics.calibration_error(np.array([]), np.array([]), 10))


@pytest.mark.parametrize(("freedom", "expected"), [(1, 12.7062), (2, 4.30265), (4, 2.77645), (9, 2.26216), (120, 1.97993)])
def test_student_quantiles_of_the_tables(freedom: int, expected: float) -> None:
    assert metrics.student_quantile(0.95, freedom) == pytest.approx(expected, rel=1e-5)


def test_student_quantiles_agree_with_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    for freedom in (*range(1, 40), 99, 100, 1000):
        for level in (0.5, 0.9, 0.95, 0.999):
            assert metrics.student_quantile(level, freedom) == pytest.approx(stats.t.ppf(0.5 + level / 2, freedom), rel=1e-9)


@pytest.mark.parametrize(("level", "freedom"), [(0.95, 0), (1.0, 3), (0.0, 3)])
def test_student_quantiles_that_do_not_exist(level: float, freedom: int) -> None:
    with pytest.raises(ValueError, match="no Student quantile"):
        metrics.student_quantile(level, freedom)


def test_an_interval_over_seeds_needs_two() -> None:
    low, high = metrics.student_interval(np.array([1.0, 2.0, 3.0]))
    assert (low, high) == (pytest.approx(2 - 4.30265 / np.sqrt(3), rel=1e-5), pytest.approx(2 + 4.30265 / np.sqrt(3), rel=1e-5))
    with pytest.raises(ValueError, match="two"):
        metrics.student_interval(np.array([1.0]))


def test_the_bootstrap_is_seeded_and_as_wide_as_theory_says() -> None:
    values = (np.random.default_rng(0).random(400) < 0.7).astype(float)
    low, high = metrics.bootstrap_interval(values, 1)
    assert (low, high) == metrics.bootstrap_interval(values, 1)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)


def plain_bootstrap(columns: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    """Samples drawn one by one, copied and averaged."""
    random = np.random.default_rng(seed)
    return np.stack([columns[random.integers(0, len(columns), len(columns))].mean(axis=0) for _ in range(resamples)])


@pytest.mark.parametrize("methods", [1, 2, 4])
@pytest.mark.parametrize("seeds", [1, 3])
def test_counts_of_distinct_rows_are_the_plain_bootstrap(methods: int, seeds: int) -> None:
    """The same distribution: means, spreads, correlations and quantiles of many resamples agree."""
    random = np.random.default_rng(methods + 10 * seeds)
    common = random.random((300, 1)) < 0.5
    columns = np.stack([(common | (random.random((300, seeds)) < 0.3)).mean(axis=1) for _ in range(methods)], axis=1)
    quick, slow = metrics.resampled_means(columns, 5, 4000), plain_bootstrap(columns, 6, 4000)
    # Means of resamples lie on a grid of 1 / (images x seeds); what is left is the luck of 4,000 of them.
    step, spread = 1.0 / (300 * seeds), slow.std(axis=0).max()
    np.testing.assert_allclose(quick.mean(0), slow.mean(0), atol=0.1 * spread)
    np.testing.assert_allclose(np.cov(quick.T), np.cov(slow.T), atol=0.1 * spread**2)
    for level in (0.025, 0.25, 0.5, 0.75, 0.975):
        np.testing.assert_allclose(np.quantile(quick, level, axis=0), np.quantile(slow, level, axis=0), atol=0.1 * spread + step)


def test_the_order_of_samples_and_blocks_of_counts_change_no_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(0, 4, (200, 3)) / 3.0
    whole = metrics.resampled_means(values, 1, 50)
    np.testing.assert_array_equal(metrics.resampled_means(values[::-1], 1, 50), whole)
    monkeypatch.setattr(metrics, "DRAWN", 100)
    np.testing.assert_allclose(metrics.resampled_means(values, 1, 50), whole)


def test_resampled_columns_are_paired() -> None:
    values = np.random.default_rng(0).random(30)
    means = metrics.resampled_means(np.stack([values, values + 0.25], axis=1), 3, 50)
    np.testing.assert_allclose(means[:, 1] - means[:, 0], 0.25)


def test_a_difference_whose_interval_holds_zero_is_a_tie() -> None:
    random = np.random.default_rng(0)
    worse = random.random(500) < 0.5
    better = worse | (random.random(500) < 0.2)
    clear = metrics.paired_difference(better, worse, 0)
    assert not clear.tie
    assert clear.mean == pytest.approx(better.mean() - worse.mean())
    assert clear.low < clear.mean < clear.high
    assert metrics.paired_difference(worse, worse, 0).tie
    assert metrics.paired_difference(random.random(50) < 0.5, random.random(50) < 0.5, 0).tie


# Test images, seeds, spread of a method over its supports, and the share of images on which two methods differ under every seed.
STUDIES = [
    (50_000, 3, 0.002, 0.0, 120),
    (2_000, 3, 0.005, 0.0, 600),
    (500, 3, 0.0, 0.1, 600),
    (500, 3, 0.01, 0.02, 600),
    (1_000, 2, 0.01, 0.02, 600),
    (1_000, 5, 0.003, 0.3, 600),
]


def studied(random: np.random.Generator, images: int, seeds: int, spread: float, kept: float) -> tuple[np.ndarray, np.ndarray]:
    """What two equal methods have right (B, S): a tenth of the images are a coin for each seed, that its support may bend."""
    place = random.random((images, 1))
    found = []
    for first in (True, False):
        bent = np.clip(0.5 + random.normal(0, spread / np.sqrt(2), seeds) / 0.1, 0, 1)
        sure = np.where(place < kept / 2, first, np.where(place < kept, not first, place < 0.8)).astype(float)
        found.append(random.random((images, seeds)) < np.where(place > 0.9, bent, sure))
    return found[0], found[1]


@pytest.mark.parametrize(("images", "seeds", "spread", "kept", "runs"), STUDIES)
def test_the_interval_of_a_difference_holds_the_truth_where_supports_differ(
    images: int, seeds: int, spread: float, kept: float, runs: int
) -> None:
    """Simulated studies of two methods that are equal over all supports and images: how many intervals hold zero."""
    random = np.random.default_rng(7)
    held = 0
    for _ in range(runs):
        first, second = studied(random, images, seeds, spread, kept)
        gaps = first.astype(float) - second
        resampled = metrics.resampled_means(gaps.mean(1)[:, None], 0, 200)[:, 0]
        over_samples = metrics.difference_of(float(first.mean()), float(second.mean()), resampled)
        held += metrics.with_seeds(over_samples, gaps.mean(0), metrics.shared_part(gaps)).tie
    assert held / runs >= 0.93


def test_what_seeds_share_is_all_or_nothing_at_the_ends() -> None:
    random = np.random.default_rng(0)
    same = np.repeat(random.normal(size=(5000, 1)), 3, axis=1)
    assert metrics.shared_part(same) == pytest.approx(1.0)
    assert metrics.shared_part(random.normal(size=(5000, 3))) < 0.1
    assert metrics.shared_part(np.zeros((10, 3))) == 0.0
    assert metrics.shared_part(np.array([[1.0, -1.0], [-1.0, 1.0]])) == 0.0


def test_halves_are_added_as_independent_errors_are() -> None:
    found, gaps = metrics.Difference(1.0, 0.6, 1.3), np.array([0.9, 1.0, 1.1])
    half = 4.30265 * 0.1 / np.sqrt(3)
    whole = metrics.with_seeds(found, gaps)
    assert (whole.low, whole.high) == (pytest.approx(1 - np.hypot(0.4, half), rel=1e-5), pytest.approx(1 + np.hypot(0.3, half), rel=1e-5))
    alone = metrics.with_seeds(found, gaps, 0.0)
    assert (alone.low, alone.high) == (pytest.approx(1 - half, rel=1e-5), pytest.approx(1 + half, rel=1e-5))
    with pytest.raises(ValueError, match="two"):
        metrics.with_seeds(found, gaps[:1])


def test_an_accuracy_never_leaves_its_range() -> None:
    assert metrics.accuracy_interval(np.array([0.9, 1.0, 0.98])) == (pytest.approx(0.9600 - 0.1315, abs=1e-4), 1.0)
    assert metrics.accuracy_interval(np.array([0.1, 0.0, 0.02])) == (0.0, pytest.approx(0.04 + 0.1315, abs=1e-4))
    inside = np.array([0.5, 0.51, 0.52])
    assert metrics.accuracy_interval(inside) == metrics.student_interval(inside)
