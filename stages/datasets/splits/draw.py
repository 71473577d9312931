"""Stratified splits for data that has none.

Units of a class, which are contents or groups of images, are ranked by the hash of (seed, unit): a split depends neither on the order of
listing nor on names nor on how classes are numbered, and one more image moves few of the others. A unit is never divided. No torch here:
planning draws splits in milliseconds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from blake3 import blake3

from xmap.stages.datasets.dataset import SPLITS, TEST, TRAIN, VAL
from xmap.store.disk.plain import named
from xmap.store.errors import InputError

# A sample's id, its class, and what it is drawn by.
Labelled = tuple[str, str, str]


def draw_splits(
    labelled: Iterable[Labelled], seed: int, val_share: float, test_share: float, grouped: bool = False
) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """The split of each sample of (sample id, class, unit), and remarks for people, to whom units are images, or groups where `grouped`.

    Each class keeps at least one unit for training, then gives its shares of units, rounded, to test and to validation. A unit that several
    classes have goes where the first of them puts it, in an order that knows no names. Raises `InputError` where the shares leave nothing
    to train on.
    """
    if val_share + test_share >= 1:
        raise InputError(f"val_share {val_share} and test_share {test_share} leave no training images; choose shares whose sum is below 1.")
    samples = list(labelled)
    classes: dict[str, set[str]] = defaultdict(set)
    for _, name, unit in samples:
        classes[name].add(unit)
    ranked = {name: _ranked(units, seed, "split") for name, units in classes.items()}
    order = sorted(ranked, key=ranked.__getitem__)
    placed: dict[str, str] = {}
    for name in order:
        test, val = _shares(len(ranked[name]), val_share, test_share)
        for place, unit in enumerate(ranked[name]):
            placed.setdefault(unit, TEST if place < test else VAL if place < test + val else TRAIN)
    for name in order:
        # Other classes may have put all of its units elsewhere.
        if not any(placed[unit] == TRAIN for unit in ranked[name]):
            placed[ranked[name][-1]] = TRAIN
    splits = {sample_id: placed[unit] for sample_id, _, unit in samples}
    expected = (TEST, VAL) if val_share else (TEST,)
    without = {split: [name for name in sorted(ranked) if all(placed[unit] != split for unit in ranked[name])] for split in expected}
    return splits, (_drawn(splits, seed), *(_lacking(split, names, grouped) for split, names in without.items() if names))


def keep_few(labelled: Sequence[Labelled], seed: int, per_class: int) -> tuple[set[str], tuple[str, ...]]:
    """The ids of samples that are left out so that each class keeps `per_class` units, and remarks for people."""
    classes: dict[str, set[str]] = defaultdict(set)
    for _, name, unit in labelled:
        classes[name].add(unit)
    kept_units = {name: set(_ranked(units, seed, "kept")[:per_class]) for name, units in classes.items()}
    left_out = {sample_id for sample_id, name, unit in labelled if unit not in kept_units[name]}
    kept = len(labelled) - len(left_out)
    remark = f"kept {kept:,} of {len(labelled):,} training images, at most {per_class} a class, drawn with split_seed {seed}"
    return left_out, (remark,) if left_out else ()


def _ranked(units: Iterable[str], seed: int, what: str) -> list[str]:
    # The word keeps this order apart from the one by which shots are drawn: equal seeds must not pick the same images for both.
    return sorted(units, key=lambda unit: blake3(f"{what}\0{seed}\0{unit}".encode()).hexdigest())


def _shares(count: int, val_share: float, test_share: float) -> tuple[int, int]:
    test = min(int(count * test_share + 0.5), count - 1)
    return test, min(int(count * val_share + 0.5), count - 1 - test)


def _drawn(splits: Mapping[str, str], seed: int) -> str:
    counts = ", ".join(f"{sum(found == split for found in splits.values())} {split}" for split in SPLITS)
    return f"the data has no splits: drew {counts} with split_seed {seed}"


def _lacking(split: str, names: Sequence[str], grouped: bool) -> str:
    one, several = ("class has", "classes have") if grouped else ("class is", "classes are")
    why = "too few groups" if grouped else "too small"
    return f"{len(names)} {one if len(names) == 1 else several} {why} for a {split} image: {named(names)}"
