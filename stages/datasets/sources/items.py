"""What readers of tables and tars do to all the items that they found, before these become a dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from xmap.stages.datasets.classes.labels import NOTHING, WHOLE
from xmap.stages.datasets.dataset import Item
from xmap.store.errors import InputError


def whole_numbers(items: Sequence[Item]) -> list[Item]:
    """The items; where all labels are whole numbers, without the decimals that some tools write: `3.0` is 3."""
    keys = {item.key: WHOLE.fullmatch(item.key) for item in items}
    numbers = {key: found[1] for key, found in keys.items() if found}
    if len(numbers) < len(keys) or all(key == number for key, number in numbers.items()):
        return list(items)
    return [replace(item, key=numbers[item.key]) for item in items]


def said_of_names(items: Sequence[Item]) -> tuple[str, ...]:
    """Remarks on classes whose names are what tables write for nothing."""
    counts = Counter(item.key for item in items if item.key in NOTHING)
    return tuple(f"the label {key!r} ({count:,} images) is taken for a name: the images' folders have it" for key, count in counts.items())


def refuse_twins(items: Iterable[Item]) -> None:
    """Raise `InputError` where two images have one id: their files differ in Unicode's form of a name alone."""
    seen: set[str] = set()
    for item in items:
        if item.sample_id in seen:
            raise InputError(f"two images are both {item.sample_id!r} after Unicode normalisation; rename one of their files.")
        seen.add(item.sample_id)
