"""What is held out of a support to choose settings on: drawn by content, what belongs together as a whole."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from tests.worlds.few_shot import random_support
from xmap.stages.fewshot.folds import folds
from xmap.stages.fewshot.split_index import rank
from xmap.stages.fewshot.task import Support
from xmap.stages.train.held_out import held_out

# The class, the content and the group (empty for none) of each sample; a class has a content once, as supports do.
samples = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 15), st.sampled_from(("", "", "a", "b", "c"))),
    min_size=1,
    max_size=24,
    unique_by=lambda row: row[:2],
)
Row = tuple[int, int, str]


def support_of(found: list[Row], names: list[str]) -> Support:
    labels, contents, groups = zip(*found, strict=True)
    units = [blake3(str(content).encode()).hexdigest() for content in contents]
    return Support.of(names, torch.tensor(labels), torch.zeros(len(found), 1, 2), 4, 3, units, groups)


def held(found: list[Row], names: list[str], seed: int) -> set[str]:
    support = support_of(found, names)
    return {support.sample_ids[row] for row in held_out(support, seed).tolist()}


def test_a_quarter_of_each_class_is_held_out_by_rank() -> None:
    support = random_support([1, 2, 9], 4, np.random.default_rng(0))
    found = {support.sample_ids[int(row)] for row in held_out(support, 7)}
    expected = set()
    for label, count in ((1, 1), (2, 2)):
        ids = [sample for sample, other in zip(support.sample_ids, support.labels.tolist(), strict=True) if other == label]
        expected |= set(sorted(ids, key=lambda sample: rank(7, sample))[:count])
    assert found == expected


@given(samples, st.integers(0, 99))
def test_no_content_and_no_group_is_held_and_left(found: list[Row], seed: int) -> None:
    names = [str(number) for number in range(len(found))]
    support = support_of(found, names)
    for rows in (held_out(support, seed), *folds(support, seed)):
        chosen = {support.sample_ids[row] for row in rows.tolist()}
        kept = [row for name, row in zip(names, found, strict=True) if name not in chosen]
        out = [row for name, row in zip(names, found, strict=True) if name in chosen]
        assert {content for _, content, _ in kept}.isdisjoint({content for _, content, _ in out})
        assert ({group for *_, group in kept} - {""}).isdisjoint({group for *_, group in out})
        assert {label for label, *_ in kept} == {label for label, *_ in found}


@given(samples, st.integers(0, 99), st.permutations(range(24)), st.permutations(range(3)))
def test_neither_names_nor_numbers_of_classes_have_a_say(found: list[Row], seed: int, order: list[int], numbers: list[int]) -> None:
    names = [str(number) for number in range(len(found))]
    moved = [(numbers[label], content, group and f"of {group}") for label, content, group in found]
    renamed = [f"z{order[number]:02d}" for number in range(len(found))]
    assert held(moved, renamed, seed) == {renamed[int(name)] for name in held(found, names, seed)}


@given(st.lists(st.integers(1, 12), min_size=1, max_size=3), st.integers(0, 99))
def test_without_groups_a_quarter_is_held(counts: list[int], seed: int) -> None:
    found = [(label, 100 * label + number, "") for label, count in enumerate(counts) for number in range(count)]
    support = support_of(found, [str(number) for number in range(len(found))])
    per_class = Counter(support.labels[held_out(support, seed)].tolist())
    assert per_class == {label: max(1, count // 4) for label, count in enumerate(counts) if count > 1}
