"""Text for people, with nothing in it that only a terminal reads: names come from file systems and from strangers."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

# Signs that say something to a terminal and nothing to a reader: controls, halves of pairs, ends of lines, and marks that turn the
# direction of the text after them, so that a name could rewrite the sentence around it.
TURNING = "\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069"
_HARMFUL = re.compile(f"[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff{TURNING}]")
# With these begins what spreadsheets calculate, or drop and calculate what follows; an apostrophe before it says that it is text.
FORMULA = re.compile("[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
# Harmful to a terminal and of no use to a spreadsheet, so that no CSV holds them. Breaks, tabs and marks of direction are of use.
CONTROLS = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
# Of a list in a sentence.
SHOWN = 5


def plain(text: str) -> str:
    """`text` on one line and harmless to a terminal: what a name may hold beside letters is shown as its escape."""
    return _HARMFUL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def fits_a_path(text: str) -> bool:
    """Whether a path can hold all signs of `text`: none can hold a NUL, or half of a pair that stands for no byte."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def named(names: Sequence[str]) -> str:
    """The first few names, quoted, and how many more there are."""
    shown = ", ".join(repr(name) for name in names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"
