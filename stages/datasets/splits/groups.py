"""What belongs together, such as frames of one recording or photographs of one object: nobody is tested on what was half seen in training.

A table says it in a column, of folders and tars a rule over sample ids does. Groups that share a content are one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np

from xmap.stages.datasets.dataset import Dataset
from xmap.stages.datasets.places.columns import column, texts
from xmap.stages.datasets.splits.alarm import Late, within
from xmap.store.errors import InputError

# The rule by which the folder of an image is its group; any other rule is a regular expression.
PARENT = "parent"
# A million ids take some seconds; a rule such as `(a+)+$` may try ways without end on a single one.
SECONDS = 120


def with_groups(dataset: Dataset, rule: str) -> Dataset:
    """The data set with the groups that `rule` makes of sample ids, in place of its own, and a remark that counts them.

    Raises `InputError` for what is no regular expression, for one that takes too long, and for a rule that fits no image.
    """
    group = _rule(rule)
    try:
        with within(SECONDS):
            samples = replace(dataset.samples, groups=column(map(group, texts(dataset.samples.ids))))
    except Late as error:
        raise InputError(
            f"--group-by {rule:.200} was not done with {len(dataset.samples):,} sample ids after {SECONDS} s; "
            "write it without repetitions of repetitions, such as (a+)+."
        ) from error
    alone = int((samples.groups == "").sum())
    if len(samples) and alone == len(samples):
        raise InputError(f"--group-by {rule:.200} fits no image: sample ids are such as {samples.ids[0]!r}.")
    count = len(set(texts(samples.groups)) - {""})
    remark = f"--group-by {rule:.200}: {len(samples) - alone:,} images in {count:,} groups" + f", {alone:,} stand alone" * bool(alone)
    return replace(dataset, samples=samples, remarks=(*dataset.remarks, remark))


def _rule(rule: str) -> Callable[[str], str]:
    """What makes the name of a group of a sample id; empty where it fits none."""
    if rule == PARENT:
        return lambda sample_id: str(PurePosixPath(sample_id).parent) if "/" in sample_id else ""
    try:
        pattern = re.compile(rule)
    except (re.error, RecursionError, OverflowError) as error:
        raise InputError(f"--group-by {rule!r:.200} is neither {PARENT!r} nor a regular expression: {error}.") from error

    def found(sample_id: str) -> str:
        match = pattern.search(sample_id)
        return (match[1 if pattern.groups else 0] or "") if match else ""

    return found


def parties(units: Sequence[str], groups: Sequence[str]) -> Sequence[Hashable]:
    """What each row belongs to: its unit, or with `groups` (empty for none) all that is `joined` with it."""
    return joined(units, groups) if any(groups) else units


def joined(units: Sequence[str], groups: Sequence[str]) -> list[int]:
    """The number of what each row belongs to: rows that share a unit or a group, or share one with such a row, have one number."""
    first: dict[tuple[str, bool], int] = {}
    above = list(range(len(units)))

    def top(row: int) -> int:
        while above[row] != row:
            above[row] = above[above[row]]
            row = above[row]
        return row

    for row, (unit, group) in enumerate(zip(units, groups, strict=True)):
        for key in ((unit, False), (group, True)):
            if key[0]:
                one, other = top(row), top(first.setdefault(key, row))
                above[max(one, other)] = min(one, other)
    return [top(row) for row in range(len(units))]


def torn(dataset: Dataset) -> tuple[str, ...]:
    """A sentence on groups that stand in several splits, as splits that the data says may have them."""
    samples = dataset.samples
    where: dict[str, dict[int, str]] = {}
    for row in np.flatnonzero(samples.groups != "").tolist():
        where.setdefault(samples.groups[row], {}).setdefault(int(samples.splits[row]), samples.ids[row])
    found: Mapping[str, Mapping[int, str]] = {group: splits for group, splits in where.items() if len(splits) > 1}
    if not found:
        return ()
    group, splits = next(iter(found.items()))
    one, other, *_ = splits.values()
    groups = "1 group is" if len(found) == 1 else f"{len(found):,} groups are"
    return (
        f"{groups} in several splits, such as {group!r} with {one!r} and {other!r}: what is tested belongs to what was seen before; "
        "keep each in one split, or leave the splits to be drawn",
    )
