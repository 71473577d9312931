"""What a method may see: supports in one order, folds, and no test features."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.worlds.few_shot import random_support, random_text, unit
from xmap.stages.fewshot.task import FewShotTask, KeyIndex, Labelled, Segments, Support, Text


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=4).filter(any), st.integers(0, 99))
def test_the_order_rows_come_in_changes_nothing(counts: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    support = random_support(counts, 5, random, views=2)
    rows = torch.from_numpy(random.permutation(len(support)))
    again = Support.of([support.sample_ids[row] for row in rows], support.labels[rows], support.views[rows], support.shots, support.classes)
    assert again.sample_ids == support.sample_ids
    assert torch.equal(again.labels, support.labels)
    assert torch.equal(again.views, support.views)
    assert support.labels.tolist() == sorted(support.labels.tolist())


def test_keys_are_the_unit_mean_of_raw_views() -> None:
    support = random_support([2, 1], 5, np.random.default_rng(0), views=3)
    expected = unit(support.views.numpy().mean(axis=1))
    np.testing.assert_allclose(support.keys.numpy(), expected, rtol=1e-5)


def test_segments_know_whether_shots_are_even() -> None:
    assert Segments.of(torch.tensor([0, 0, 1, 1]), 2, 2).even == 2
    assert Segments.of(torch.tensor([0, 0, 1]), 2, 2).even is None
    assert Segments.of(torch.tensor([0, 0]), 2, 2).even is None


def test_draws_by_unit_do_not_depend_on_class_numbers() -> None:
    support = random_support([2, 3], 4, np.random.default_rng(1))
    swapped = Support.of(support.sample_ids, 1 - support.labels, support.views, support.shots, 2)
    names = [[found.sample_ids[int(row)] for row in found.by_unit] for found in (support, swapped)]
    assert names[0] == names[1] == sorted(support.sample_ids)


def test_a_fold_splits_the_support_and_judges_plain_views() -> None:
    random = np.random.default_rng(2)
    support = random_support([3, 2], 4, random, views=2)
    task = FewShotTask(random_text(2, 4, random), support, None, 1, "nothing")
    held = torch.tensor([1, 4])
    fold = task.fold(held)
    assert fold.validation is not None
    assert set(fold.validation.sample_ids) | set(fold.support.sample_ids) == set(support.sample_ids)
    assert not set(fold.validation.sample_ids) & set(fold.support.sample_ids)
    assert torch.equal(fold.validation.labels, support.labels[held])
    np.testing.assert_allclose(fold.validation.features.numpy(), unit(support.views[held, 0].numpy()), rtol=1e-5)
    assert fold.support.shots == support.shots


def test_zero_shot_logits_are_scaled_cosines() -> None:
    random = np.random.default_rng(3)
    text = random_text(3, 4, random)
    features = torch.from_numpy(unit(random.normal(size=(2, 4))).astype(np.float32))
    np.testing.assert_allclose(text.logits(features).numpy(), text.logit_scale * features.numpy() @ text.weights.numpy().T, rtol=1e-5)


@pytest.mark.promise
def test_a_task_has_no_room_for_test_features() -> None:
    """Hyper-parameters are never chosen on test: no type a method is handed has a field for it."""
    names = {name.name for kind in (FewShotTask, Support, Labelled, Text, Segments, KeyIndex) for name in fields(kind)}
    known = {"text", "support", "validation", "seed", "selected_on", "index", "widths", "more_texts", "pool"}
    assert {field.name for field in fields(FewShotTask)} == known
    assert not any("test" in name or "query" in name for name in names)
