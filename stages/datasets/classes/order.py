"""The order of classes that the data itself does not order: one rule for folders, tables and tars."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal

from xmap.store.disk.plain import named

NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
WHOLE = re.compile(r"[0-9]+(\.0+)?")


def all_numbers(keys: Iterable[str]) -> bool:
    """Whether all classes are whole numbers, as label columns of other tools are: `3.0` is one too."""
    return all(map(WHOLE.fullmatch, keys))


def said_alike(keys: Iterable[str]) -> tuple[str, ...]:
    """Remarks on classes that may be meant as one, as they differ by case alone or are one number, and on one that may be meant as none."""
    cases: dict[str, list[str]] = {}
    values: dict[Decimal, list[str]] = {}
    for key in keys:
        cases.setdefault(key.casefold(), []).append(key)
        if NUMBER.fullmatch(key):
            values.setdefault(Decimal(key), []).append(key)
    by_case = [f"classes that differ by case alone: {named(alike)}" for alike in cases.values() if len(alike) > 1]
    # Where classes count from 0, -1 is what many tools write for an image whose class is not told.
    hidden = ("the label '-1' is taken for a class; leave its images out where it means that they have none",) * (
        {"-1", "0"} <= cases.keys()
    )
    return (*hidden, *by_case, *(f"classes that are one number: {named(alike)}" for alike in values.values() if len(alike) > 1))


def in_order(keys: Iterable[str]) -> list[str]:
    """Classes by code point; where all are numbers, by value: `9` before `10`, `003` before `10`, `-1` before `0.5`."""
    found = list(keys)
    if not all(map(NUMBER.fullmatch, found)):
        return sorted(found)
    return sorted(found, key=lambda key: (Decimal(key), key))
