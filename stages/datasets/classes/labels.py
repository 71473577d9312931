"""Labels as tables and tars give them: which can be classes."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from decimal import Decimal
from numbers import Real
from pathlib import PurePosixPath

from xmap.store.errors import InputError

MAX_LABEL = 1000
# What tables write where there is nothing. A class may be called so all the same: then its folder is.
NOTHING = frozenset(("nan", "NaN", "NAN", "None", "NULL", "null", "<NA>", "NaT", "N/A", "#N/A"))
NONE = " (it says none)"
# A list or an object that a table holds as text: `[1, 2]`, `['cat']`, `{"id": 3}`.
SEVERAL = re.compile(r"\[([\s\d.+-]*|.*['\",].*)\]|\{.*\}", re.DOTALL)
WHOLE = re.compile(r"(-?[0-9]+)(\.0+)?")
WHY_SEVERAL = "with one class every answer is right"


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


def group_of(value: object) -> tuple[str, str]:
    """The name of the group that an image belongs to, empty for none, and why a value cannot be one, as ` (reason)`."""
    text, why = label_of(value)
    return text, "" if why == NONE else why


def unfit(label: str) -> str:
    """Why a label cannot be the name of a class, as ` (reason)`; empty if it can. Lists of names are lines of UTF-8 text."""
    if len(label) > MAX_LABEL:
        return f" (it has {len(label):,} characters, the limit is {MAX_LABEL:,})"
    kinds = {unicodedata.category(character) for character in label}
    if "Cs" in kinds:
        return " (it is no UTF-8 text)"
    return " (it holds a control character or a line end)" if kinds & {"Cc", "Zl", "Zp"} else ""


def refuse_one_class(names: Sequence[str], place: str = "the data") -> None:
    """Raise `InputError` for a single class, whatever it was read from."""
    if len(names) == 1:
        raise InputError(f"{place} has one class, {names[0]!r:.200}, and {WHY_SEVERAL}; give images of several classes.")
