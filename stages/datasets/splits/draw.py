"""Stratified splits for data that has none.

Units of a class, which are contents or groups of images, are ranked by the hash of (seed, unit): a split depends neither on the order of
listing nor on names nor on how classes are numbered, and one more image moves few of the others. A unit is never divided. No torch here:
planning draws splits in milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from blake3 import blake3

from xmap.stages.datasets.dataset import SPLITS, TEST, TRAIN, VAL, order
from xmap.stages.datasets.places.columns import Array
from xmap.stages.datasets.splits.units import Units
from xmap.store.disk.plain import named
from xmap.store.errors import InputError
from xmap.store.memory.hashes import DIGEST


@dataclass(frozen=True)
class Ranked:
    """The units of each class in the order in which they are drawn: `units` (p,) by number, class by class.

    `starts` (N + 1,) says where the classes begin, `of` (n,) which of the p is that of a sample.
    """

    units: Array
    starts: Array
    of: Array

    def blocks(self) -> dict[int, Array]:
        """The units of each class that has any, by its label."""
        return {label: block for label, block in enumerate(np.split(self.units, self.starts[1:-1])) if len(block)}


def draw_splits(
    labels: Array, units: Units, classes: Sequence[str], seed: int, val_share: float, test_share: float, grouped: bool = False
) -> tuple[Array, tuple[str, ...]]:
    """The split (n,) of each sample as `order` numbers them, and remarks for people, to whom units are images, or groups where `grouped`.

    Each class keeps at least one unit for training, then gives its shares of units, rounded, to test and to validation. A unit that several
    classes have goes where the first of them puts it, in an order that knows no names. Raises `InputError` where the shares leave nothing
    to train on.
    """
    if val_share + test_share >= 1:
        raise InputError(f"val_share {val_share} and test_share {test_share} leave no training images; choose shares whose sum is below 1.")
    ranked = rank(labels, units, len(classes), seed, "split")
    blocks, words = ranked.blocks(), units.places().astype(">u4")
    first = sorted(blocks, key=lambda label: words[blocks[label]].tobytes())
    placed = np.full(len(units), -1, np.int8)
    for label in first:
        block = blocks[label]
        test, val = _shares(len(block), val_share, test_share)
        given = np.repeat(np.asarray([order(TEST), order(VAL), order(TRAIN)], np.int8), [test, val, len(block) - test - val])
        placed[block] = np.where(placed[block] < 0, given, placed[block])
    for label in first:
        # Other classes may have put all of its units elsewhere.
        if not (placed[blocks[label]] == order(TRAIN)).any():
            placed[blocks[label][-1]] = order(TRAIN)
    splits: Array = placed[units.numbers]
    expected = (TEST, VAL) if val_share else (TEST,)
    without = {
        split: sorted(classes[label] for label, block in blocks.items() if not (placed[block] == order(split)).any()) for split in expected
    }
    return splits, (_drawn(splits, seed), *(_lacking(split, names, grouped) for split, names in without.items() if names))


def keep_few(labels: Array, units: Units, classes: int, seed: int, per_class: int) -> tuple[Array, tuple[str, ...]]:
    """Which samples (n,) bool stay so that each of the classes keeps `per_class` units, and remarks for people."""
    ranked = rank(labels, units, classes, seed, "kept")
    kept: Array = ranked.of - ranked.starts[labels] < per_class
    remark = f"kept {kept.sum():,} of {len(kept):,} training images, at most {per_class} a class, drawn with split_seed {seed}"
    return kept, () if kept.all() else (remark,)


def rank(labels: Array, units: Units, classes: int, seed: int, what: str) -> Ranked:
    """The units of each class by the hash of (what, seed, unit)."""
    # The word keeps this order apart from the one by which shots are drawn: equal seeds must not pick the same images for both.
    hashes = bytearray()
    for unit in units:
        hashes += blake3(f"{what}\0{seed}\0{unit}".encode()).digest()
    by_hash = np.argsort(np.frombuffer(hashes, DIGEST), kind="stable")
    places = np.empty(len(units), np.int64)
    places[by_hash] = np.arange(len(units))
    found, of = np.unique(labels * np.int64(len(units)) + places[units.numbers], return_inverse=True)
    starts = np.searchsorted(found, np.arange(classes + 1) * np.int64(len(units)))
    return Ranked(by_hash[found % max(len(units), 1)], starts, of.reshape(-1))


def _shares(count: int, val_share: float, test_share: float) -> tuple[int, int]:
    test = min(int(count * test_share + 0.5), count - 1)
    return test, min(int(count * val_share + 0.5), count - 1 - test)


def _drawn(splits: Array, seed: int) -> str:
    counts = ", ".join(f"{(splits == order(split)).sum()} {split}" for split in SPLITS)
    return f"the data has no splits: drew {counts} with split_seed {seed}"


def _lacking(split: str, names: Sequence[str], grouped: bool) -> str:
    one, several = ("class has", "classes have") if grouped else ("class is", "classes are")
    why = "too few groups" if grouped else "too small"
    return f"{len(names)} {one if len(names) == 1 else several} {why} for a {split} image: {named(names)}"
