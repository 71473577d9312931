"""Labels as tables and tars give them: which can be classes, and whether every split has what it needs."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from stages.datasets.assemble import Item
from stages.datasets.dataset import SPLITS, TRAIN
from stages.datasets.splits import named
from store.errors import InputError

MAX_LABEL = 1000


def unfit(label: str) -> str:
    """Why a label cannot be the name of a class, as ` (reason)`; empty if it can. Lists of names are lines of UTF-8 text."""
    if len(label) > MAX_LABEL:
        return f" (it has {len(label):,} characters, the limit is {MAX_LABEL:,})"
    kinds = {unicodedata.category(character) for character in label}
    if "Cs" in kinds:
        return " (it is no UTF-8 text)"
    return " (it holds a control character or a line end)" if kinds & {"Cc", "Zl", "Zp"} else ""


def refuse_twins(items: Iterable[Item]) -> None:
    """Raise `InputError` where two images have one id: their files differ in Unicode's form of a name alone."""
    seen: set[str] = set()
    for item in items:
        if item.sample_id in seen:
            raise InputError(f"two images are both {item.sample_id!r} after Unicode normalisation; rename one of their files.")
        seen.add(item.sample_id)


def check_splits(items: Sequence[Item]) -> tuple[str, ...]:
    """Remarks on splits that lack a class. Raises `InputError` for a class without training images."""
    found: dict[str, set[str]] = {}
    for item in items:
        found.setdefault(item.split, set()).add(item.key)
    if "" in found:
        return ()
    everywhere = {item.key for item in items}
    untrained = sorted(everywhere - found.get(TRAIN, set()))
    if untrained:
        raise InputError(f"no training image of {named(untrained)}, which other splits have; add some, or remove the class.")
    lacking = {split: sorted(everywhere - found[split]) for split in SPLITS if split in found}
    return tuple(f"{split} has no image of {named(names)}" for split, names in lacking.items() if names)
