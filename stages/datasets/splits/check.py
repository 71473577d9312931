"""Whether all images have a split or none has, and whether every split has every class."""

from __future__ import annotations

from collections.abc import Sequence

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
    if "" in by_split:
        return ()
    everywhere = {item.key for item in items}
    untrained = sorted(everywhere - by_split.get(TRAIN, set()))
    if untrained:
        raise InputError(f"no training image of {named(untrained)}, which other splits have; add some, or remove the class.")
    lacking = {split: sorted(everywhere - by_split[split]) for split in SPLITS if split in by_split}
    return tuple(f"{split} has no image of {named(names)}" for split, names in lacking.items() if names)
