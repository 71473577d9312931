"""Whether all images have a split or none has, and whether every split has every class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from xmap.stages.datasets.dataset import SPLITS, TRAIN, Item
from xmap.store.disk.plain import named
from xmap.store.errors import InputError


def require_one_way(items: Sequence[Item], place: str, what: str) -> None:
    """Raise `InputError` where some items have a split and others have none."""
    silent = [item.sample_id for item in items if not item.split]
    if silent and len(silent) != len(items):
        raise InputError(f"{place}: some {what} have a split and others, such as {silent[0]!r}, have none; give all of them one.")


def check_splits(items: Sequence[Item]) -> tuple[str, ...]:
    """Remarks on splits that lack a class. Raises `InputError` for a class without training images."""
    by_split: dict[str, set[str]] = {}
    for item in items:
        by_split.setdefault(item.split, set()).add(item.key)
    return () if "" in by_split else check_classes(by_split)


def check_classes(by_split: Mapping[str, Set[str]]) -> tuple[str, ...]:
    """Remarks on the splits that lack a class, by the classes that each has. Raises `InputError` for one without training images."""
    everywhere = set().union(*by_split.values())
    untrained = sorted(everywhere - set(by_split.get(TRAIN, ())))
    if untrained:
        raise InputError(f"no training image of {named(untrained)}, which other splits have; add some, or remove the class.")
    lacking = {split: sorted(everywhere - by_split[split]) for split in SPLITS if split in by_split}
    return tuple(f"{split} has no image of {named(names)}" for split, names in lacking.items() if names)
