"""Labels as tables and tars give them: which can be classes, and whether every split has what it needs."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from numbers import Real
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from xmap.stages.datasets.dataset import SPLITS, TRAIN
from xmap.stages.datasets.splits.draw import named
from xmap.store.errors import InputError

if TYPE_CHECKING:
    from xmap.stages.datasets.assemble import Item

MAX_LABEL = 1000
# What tables write where there is nothing. A class may be called so all the same: then its folder is.
NOTHING = frozenset(("nan", "NaN", "NAN", "None", "NULL", "null", "<NA>", "NaT", "N/A", "#N/A"))
NONE = " (it says none)"
# A list or an object that a table holds as text: `[1, 2]`, `['cat']`, `{"id": 3}`.
SEVERAL = re.compile(r"\[([\s\d.+-]*|.*['\",].*)\]|\{.*\}", re.DOTALL)
WHOLE = re.compile(r"(-?[0-9]+)(\.0+)?")


def label_of(value: object, place: str = "") -> tuple[str, str]:
    """The text of a label, and why it cannot be the name of a class as ` (reason)`; empty if it can.

    A whole number is written without decimals. `place` is the path of the image: a class called `nan` has a folder of that name.
    """
    if value is None or (isinstance(value, Real) and math.isnan(value)):
        return "", NONE
    if isinstance(value, Real) and not isinstance(value, int):
        value = float(value)
    if isinstance(value, float) and value.is_integer():
        text = str(int(value))
    elif isinstance(value, str | bool | int | Decimal) or (isinstance(value, float) and math.isfinite(value)):
        text = unicodedata.normalize("NFC", str(value).strip())
    else:
        return "", f" (it is of the kind {type(value).__name__}, neither a name nor a number)"
    if not text or (text in NOTHING and text not in PurePosixPath(place.replace("\\", "/")).parts[:-1]):
        return "", NONE
    if SEVERAL.fullmatch(text):
        return "", " (it is a list or an object written as text, neither a name nor a number)"
    return text, unfit(text)


def unfit(label: str) -> str:
    """Why a label cannot be the name of a class, as ` (reason)`; empty if it can. Lists of names are lines of UTF-8 text."""
    if len(label) > MAX_LABEL:
        return f" (it has {len(label):,} characters, the limit is {MAX_LABEL:,})"
    kinds = {unicodedata.category(character) for character in label}
    if "Cs" in kinds:
        return " (it is no UTF-8 text)"
    return " (it holds a control character or a line end)" if kinds & {"Cc", "Zl", "Zp"} else ""


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
