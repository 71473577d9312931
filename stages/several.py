"""Settings of several values, in one form wherever they are given: flags (with commas, or given again), xmap.toml and Python.

`1,2`, `["1", 2]`, `[1, 2]` and, of numbers, `1-2` are the same. They keep their order; a name or number counts once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import WrapValidator

ALL = "all"
# Numbers that one range may stand for.
MOST = 1000
_RANGE = re.compile(r"([0-9]{1,18})\s*-\s*([0-9]{1,18})")


@dataclass(frozen=True)
class Several:
    """How one text holds values of a field, and what its flag calls them. A field has it by `Annotated[tuple[T, ...], NAMES]`.

    `apart`: a value may hold commas, so that each is given by itself; `once`: a value counts once.
    """

    metavar: str
    split: Callable[[str], Iterable[Any]]
    once: bool = True
    apart: bool = False

    def values(self, given: Any) -> Any:
        """All that is given, as a list; what can be no values, such as a table, is left for the field to refuse.

        Raises `ValueError` for a range that is none.
        """
        if given is None or isinstance(given, Mapping | bytes):
            return given
        parts = given if isinstance(given, Iterable) and not isinstance(given, str) else (given,)
        texts = (os.fspath(part) if isinstance(part, os.PathLike) else part for part in parts)
        return [value for text in texts for value in (self.split(text) if isinstance(text, str) else (text,))]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        def read(given: Any, check: Callable[[Any], Iterable[Any]]) -> Any:
            found = check(self.values(given))
            return tuple(dict.fromkeys(found)) if self.once else found

        return WrapValidator(read).__get_pydantic_core_schema__(source, handler)


def several_of(metadata: Iterable[Any]) -> Several | None:
    """How a field of such metadata takes several values; None where it takes one."""
    return next((part for part in metadata if isinstance(part, Several)), None)


def every(names: Iterable[str], known: Collection[str]) -> tuple[str, ...]:
    """The names with all that are known in the place of `all`, each once."""
    return tuple(dict.fromkeys(name for given in names for name in (known if given == ALL else (given,))))


def _words(text: str) -> Iterable[str]:
    return (word for part in text.split(",") if (word := part.strip()))


def _numbers(text: str) -> Iterable[Any]:
    for word in _words(text):
        ends = _RANGE.fullmatch(word)
        if ends is None:
            yield word
            continue
        first, last = int(ends[1]), int(ends[2])
        if not first <= last < first + MOST:
            raise ValueError(f"{word} is no range: it begins with its smaller number, such as 1-3, and holds at most {MOST:,}")
        yield from range(first, last + 1)


NAMES = Several("NAMES", _words)
NUMBERS = Several("NUMBERS", _numbers)
# Place and number of each count. An empty name of a file, as a flag may have it, is none.
TEXTS = Several("TEXT", lambda text: [text], once=False, apart=True)
FILES = Several("FILE", lambda text: [text] if text else [], once=False, apart=True)
MODELS = Several("MODEL", lambda text: [text] if text else [], apart=True)
