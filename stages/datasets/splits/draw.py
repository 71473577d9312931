"""Stratified splits for data that has none.

Samples of a class are ranked by the hash of (seed, sample id), so a split depends neither on the order of listing nor on how
classes are numbered, and one more image moves few of the others. No torch here: planning draws splits in milliseconds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from blake3 import blake3

from xmap.stages.datasets.dataset import SPLITS, TEST, TRAIN, VAL
from xmap.store.disk.plain import named
from xmap.store.errors import InputError


def draw_splits(
    labelled: Iterable[tuple[str, str]], seed: int, val_share: float, test_share: float
) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """The split of each sample of (sample id, class) pairs, and remarks for people.

    Each class keeps at least one training sample, then gives its shares, rounded, to test and to validation. Raises
    `InputError` where the shares leave nothing to train on.
    """
    if val_share + test_share >= 1:
        raise InputError(f"val_share {val_share} and test_share {test_share} leave no training images; choose shares whose sum is below 1.")
    classes: dict[str, list[str]] = defaultdict(list)
    for sample_id, name in labelled:
        classes[name].append(sample_id)
    splits: dict[str, str] = {}
    without: dict[str, list[str]] = {TEST: [], VAL: []}
    for name in sorted(classes):
        test, val = _shares(len(classes[name]), val_share, test_share)
        for place, sample_id in enumerate(sorted(classes[name], key=lambda sample_id: _rank(seed, sample_id))):
            splits[sample_id] = TEST if place < test else VAL if place < test + val else TRAIN
        for split, count in ((TEST, test), (VAL, val if val_share else 1)):
            if not count:
                without[split].append(name)
    return splits, (_drawn(splits, seed), *(_lacking(split, names) for split, names in without.items() if names))


def keep_few(labelled: Sequence[tuple[str, str]], seed: int, per_class: int) -> tuple[set[str], tuple[str, ...]]:
    """The ids of (sample id, class) pairs that are left out so that each class keeps `per_class`, and remarks for people."""
    classes: dict[str, list[str]] = defaultdict(list)
    for sample_id, name in labelled:
        classes[name].append(sample_id)
    left_out: set[str] = set()
    for found in classes.values():
        left_out.update(sorted(found, key=lambda sample_id: _rank(seed, sample_id, "kept"))[per_class:])
    kept = len(labelled) - len(left_out)
    remark = f"kept {kept:,} of {len(labelled):,} training images, at most {per_class} a class, drawn with split_seed {seed}"
    return left_out, (remark,) if left_out else ()


def _rank(seed: int, sample_id: str, what: str = "split") -> str:
    # The word keeps this order apart from the one by which shots are drawn: equal seeds must not pick the same images for both.
    return blake3(f"{what}\0{seed}\0{sample_id}".encode()).hexdigest()


def _shares(count: int, val_share: float, test_share: float) -> tuple[int, int]:
    test = min(int(count * test_share + 0.5), count - 1)
    return test, min(int(count * val_share + 0.5), count - 1 - test)


def _drawn(splits: Mapping[str, str], seed: int) -> str:
    counts = ", ".join(f"{sum(found == split for found in splits.values())} {split}" for split in SPLITS)
    return f"the data has no splits: drew {counts} with split_seed {seed}"


def _lacking(split: str, names: Sequence[str]) -> str:
    are = "class is" if len(names) == 1 else "classes are"
    return f"{len(names)} {are} too small for a {split} image: {named(names)}"
