"""The order of classes that the data itself does not order: one rule for folders, tables and tars."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal

NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


def all_numbers(keys: Iterable[str]) -> bool:
    """Whether all classes are whole numbers, as label columns of other tools are."""
    return all(key.isascii() and key.isdigit() for key in keys)


def in_order(keys: Iterable[str]) -> list[str]:
    """Classes by code point; where all are numbers, by value: `9` before `10`, `003` before `10`, `-1` before `0.5`."""
    found = list(keys)
    if not all(map(NUMBER.fullmatch, found)):
        return sorted(found)
    return sorted(found, key=lambda key: (Decimal(key), key))
