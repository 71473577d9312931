"""Whole classes that are left out together."""

from __future__ import annotations

import numpy as np
import torch

from tests.worlds.few_shot import random_support
from xmap.stages.fewshot.folds import class_folds
from xmap.stages.fewshot.task import Support


def test_each_class_is_left_out_once_and_whole() -> None:
    support = random_support([1, 2, 0, 1, 1, 3, 1, 1, 1, 1], 4, np.random.default_rng(0))
    parts = list(class_folds(support, 1))
    assert sorted(torch.cat(parts).tolist()) == list(range(len(support)))
    classes = [set(support.labels[rows].tolist()) for rows in parts]
    assert [len(part) for part in classes] == [3, 2, 2, 2]
    assert sum(len(part) for part in classes) == len(set.union(*classes))


def test_how_classes_are_numbered_has_no_say() -> None:
    support = random_support([1, 1, 1, 1, 1], 4, np.random.default_rng(1))
    place = torch.tensor([3, 0, 4, 1, 2])
    moved = Support.of(support.sample_ids, place[support.labels], support.views, support.shots, 5)
    named = [[{one.sample_ids[row] for row in rows.tolist()} for rows in class_folds(one, 7)] for one in (support, moved)]
    assert named[0] == named[1]


def test_fewer_than_four_classes_are_not_divided() -> None:
    assert list(class_folds(random_support([1, 1, 1, 0], 4, np.random.default_rng(2)), 1)) == []
