"""Measures beside accuracy, against scikit-learn and against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest

from xmap.stages.eval.measures import class_measures, mean_of, risk_coverage


def test_class_measures_are_those_of_scikit_learn() -> None:
    reference = pytest.importorskip("sklearn.metrics", reason="scikit-learn comes with the extra demo")
    random = np.random.default_rng(0)
    labels, predicted = random.integers(0, 4, 200), random.integers(0, 4, 200)
    found = class_measures(predicted, labels, 4)
    precision, recall, f1, _ = reference.precision_recall_fscore_support(labels, predicted)
    for ours, theirs in ((found.precision, precision), (found.recall, recall), (found.f1, f1)):
        np.testing.assert_allclose(ours, theirs)
    assert found.balanced_accuracy == pytest.approx(reference.balanced_accuracy_score(labels, predicted))
    assert found.macro_f1 == pytest.approx(reference.f1_score(labels, predicted, average="macro"))


def test_classes_without_samples_or_answers_are_no_number() -> None:
    found = class_measures(np.array([0, 0, 2]), np.array([0, 1, 1]), 4)
    np.testing.assert_allclose(found.recall, [1.0, 0.0, np.nan, np.nan])
    np.testing.assert_allclose(found.precision, [0.5, np.nan, 0.0, np.nan])
    np.testing.assert_allclose(found.f1, [2 / 3, 0.0, 0.0, np.nan])
    assert found.balanced_accuracy == 0.5
    np.testing.assert_allclose(mean_of([found.precision, np.array([1.0, np.nan, np.nan, np.nan])]), [0.75, np.nan, 0.0, np.nan])


def test_always_naming_the_largest_class_is_no_balanced_accuracy() -> None:
    labels = np.repeat([0, 1, 2], [1000, 500, 500])
    found = class_measures(np.zeros(2000, int), labels, 3)
    assert (labels == 0).mean() == 0.5
    assert found.balanced_accuracy == pytest.approx(1 / 3)


def test_risk_against_coverage() -> None:
    # Surest first: right, right, wrong, right: errors among the first 1, 2, 3, 4 are 0, 0, 1/3, 1/4.
    assert risk_coverage(np.array([0.6, 0.9, 0.8, 0.7]), np.array([True, True, True, False])) == pytest.approx((1 / 3 + 1 / 4) / 4)
    assert risk_coverage(np.full(4, 0.5), np.array([True, False, True, False])) == pytest.approx(0.5)
    right = np.array([True] * 7 + [False] * 3)
    assert risk_coverage(np.linspace(1, 0, 10), right) < risk_coverage(np.linspace(0, 1, 10), right)
