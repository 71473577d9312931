"""Several encoders: wide rows, and the task of each encoder that is in them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from tests.worlds.few_shot import random_labelled, random_support, random_text
from tests.worlds.two_encoders import side_by_side
from xmap.stages.fewshot.task import FewShotTask
from xmap.stages.fewshot.wide import columns_of, part_of
from xmap.stages.methods.protocol import Cache

WIDTHS = (4, 6)


def parts(total: int, seed: int = 0) -> list[torch.Tensor]:
    random = np.random.default_rng(seed)
    return [random_labelled(total, 2, width, random).features for width in WIDTHS]


def task_of_two(second_text: bool = False) -> FewShotTask:
    random = np.random.default_rng(1)
    text, other = random_text(2, 4, random), random_text(2, 6, random)
    support, held = random_support([2, 3], 10, random, views=2), random_labelled(5, 2, 4, random)
    views = torch.cat([normalize(part, dim=-1) for part in support.views.split(WIDTHS, -1)], -1)
    held = replace(held, features=side_by_side([held.features, parts(5)[1]]))
    more = (other if second_text else None,)
    return FewShotTask(text, replace(support, views=views), held, 7, "validation", widths=WIDTHS, more_texts=more)


def test_a_wide_row_is_unit_and_its_cosine_is_the_mean_of_the_encoders() -> None:
    one, two = parts(3), parts(3, seed=2)
    first, second = side_by_side([5.0 * part for part in one]), side_by_side(two)
    torch.testing.assert_close(first.square().sum(1), torch.ones(3))
    expected = sum((part * other).sum(1) for part, other in zip(one, two, strict=True)) / 2
    torch.testing.assert_close((first * second).sum(1), expected)


def test_each_encoder_is_found_again_in_wide_rows() -> None:
    given = parts(3)
    wide = side_by_side(given)
    assert [columns_of(WIDTHS, encoder) for encoder in (0, 1)] == [slice(0, 4), slice(4, 10)]
    for encoder, part in enumerate(given):
        torch.testing.assert_close(part_of(wide, WIDTHS, encoder), part)


def test_features_of_one_encoder_keep_their_bits() -> None:
    features = 3.0 * parts(3)[0]
    assert part_of(features, (), 0) is features
    random = np.random.default_rng(1)
    task = FewShotTask(random_text(2, 4, random), random_support([2, 3], 4, random, views=2), None, 7, "nothing")
    assert torch.equal(task.part(0).support.views, task.support.views)


@pytest.mark.parametrize("second_text", [True, False])
def test_the_task_of_each_encoder_has_its_own_features_and_texts(second_text: bool) -> None:
    task = task_of_two(second_text)
    given = None if second_text else random_text(2, 6, np.random.default_rng(3))
    first, second = task.part(0), task.part(1, given)
    assert (first.widths, first.more_texts, first.seed, first.selected_on) == ((), (), 7, "validation")
    assert first.text is task.text
    assert second.text is (task.more_texts[0] if second_text else given)
    assert first.support.sample_ids == second.support.sample_ids == task.support.sample_ids
    torch.testing.assert_close(torch.cat([first.support.views, second.support.views], -1), task.support.views)
    assert first.validation is not None
    assert second.validation is not None
    torch.testing.assert_close(second.validation.features, parts(5)[1])
    assert torch.equal(first.validation.labels, second.validation.labels)


def test_a_part_of_a_fold_is_the_fold_of_a_part() -> None:
    task, held = task_of_two(second_text=True), torch.tensor([1, 4])
    one, other = task.fold(held).part(1), task.part(1).fold(held)
    assert one.support.sample_ids == other.support.sample_ids
    assert one.validation is not None
    assert other.validation is not None
    torch.testing.assert_close(one.support.keys, other.support.keys)
    torch.testing.assert_close(one.validation.features, other.validation.features)


def test_an_encoder_without_texts_is_not_taken_for_one_with_texts() -> None:
    with pytest.raises(ValueError, match="encoder 1 has no class texts of its own"):
        task_of_two().part(1)


def test_a_cache_and_a_task_on_a_device_keep_what_they_say_of_encoders() -> None:
    task = task_of_two(second_text=True)
    cache = Cache.of(task.to("cpu")).to("cpu")
    assert (cache.widths, cache.index) == (WIDTHS, None)
    assert torch.equal(cache.segments.counts, task.segments.counts)
    assert cache.more_texts[0] is not None
    assert task.more_texts[0] is not None
    assert torch.equal(cache.more_texts[0].weights, task.more_texts[0].weights)
