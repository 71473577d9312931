"""What `--classes FILE` says of the classes: their order, a name for each, or, where they are numbers, names in label order.

The file holds for all kinds of data. What it means is told by its lines together with the classes; where they do not fit, both
are shown and nothing is guessed: names that go to the wrong classes would only show as bad results.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from xmap.stages.datasets.classes.labels import unfit
from xmap.stages.datasets.classes.order import all_numbers
from xmap.stages.datasets.places.files import text_of
from xmap.stages.datasets.places.place import Location
from xmap.store.disk.plain import named
from xmap.store.errors import InputError

SEPARATOR = re.compile(r"\s*[-=]>\s*|\s+-\s+|[\s,;:=|]+")
NUMBERED = re.compile(r"([0-9]{1,9})[\s,;:=.)]+(\S.*)")
# ImageNet's ids: beside class numbers they are no part of a name.
WORDNET = re.compile(r"n[0-9]{8}[\s,;:]+(\S.*)")
# A name that is a number or an id and a name: the file has a third column.
COLUMNS = re.compile(r"([0-9]+|n[0-9]{8})\s*[,;|\t]\s*\S.*")
ITEM = re.compile(r"[-*]\s+(\S.*)")
COMMENT = "#"
HEADINGS = frozenset(
    ("class", "classes", "description", "folder", "id", "index", "key", "label", "labels", "name", "names", "synset", "wnid")
)
REMEDY = "write every class on a line of its own, in the order you want, or `class<TAB>name` on every line"
EXAMPLES = 3


@dataclass(frozen=True)
class Names:
    """Class keys in label order, the names that prompts and people get, and remarks for these."""

    keys: Sequence[str]
    names: Sequence[str]
    remarks: tuple[str, ...] = ()


Pairs = list[tuple[str, str]]


def read_names(path: Location, classes: Names) -> Names:
    """`classes` as the names file at `path` orders and calls them.

    Raises `InputError` for a file that cannot be read or does not fit, and where it gives two classes one name.
    """
    lookup = Lookup(classes)
    lines = [line for line in _lines(path) if not line.startswith(COMMENT) or lookup.spelled(line)]
    if len(lines) == len(classes.keys) + 1 and _is_heading(_unquoted(lines[0])):
        del lines[0]
    plain = [_unquoted(line) for line in lines]
    pairs, how = _complete(_order(lines, lookup), lookup) or _by_class(plain, lookup), ""
    if pairs is None and all_numbers(classes.keys):
        pairs, how = _by_place(path, plain, lookup), " in label order"
    if pairs is None:
        raise InputError(f"{path} {_misfit(plain, lookup)}; {REMEDY}.")
    _refuse_unfit(path, pairs, lookup)
    _refuse_doubles(path, pairs)
    _refuse_places(path, lines, pairs)
    return Names([key for key, _ in pairs], [name for _, name in pairs], _said(pairs, lookup, how))


class Lookup:
    """Classes by what a line may call them: their key, the name that is shown for it, or its number."""

    def __init__(self, classes: Names) -> None:
        self.keys = list(classes.keys)
        self.shown: Mapping[str, str] = dict(zip(classes.keys, classes.names, strict=True))
        self._exact = {name: key for key, name in self.shown.items()} | {key: key for key in self.keys}
        self._loose = _distinct(_plain, self.shown)
        self._value = _distinct(lambda key: str(int(Decimal(key))), dict.fromkeys(self.keys, "")) if all_numbers(self.keys) else {}

    def called(self, text: str) -> str | None:
        """The class that is called so."""
        number = text.isascii() and text.isdigit() and len(text) < 10
        return self._exact.get(text) or (self._value.get(str(int(text))) if number else None)

    def spelled(self, text: str) -> str | None:
        """As `called`, whatever the case, and `_` for a space."""
        return self.called(text) or self._loose.get(_plain(text))

    def name(self, key: str, line: str) -> str:
        """How the class is called from now on, where a line does not more than name it."""
        return self.shown[key] if self.called(line) else line


def _by_class(lines: Sequence[str], lookup: Lookup) -> Pairs | None:
    """Class and name of each line, where each line says of which class it speaks; None otherwise."""
    numbered = [match.groups() for line in lines if (match := NUMBERED.fullmatch(line))]
    numbers = sorted(int(number) for number, _ in numbered)
    counted = len(numbered) == len(lines) and numbers in (list(range(len(lines))), list(range(1, len(lines) + 1)))
    in_order = [rest for _, rest in sorted(numbered, key=lambda pair: int(pair[0]))] if counted else []
    placed = _by_places(in_order, lookup) if len(in_order) == len(lookup.keys) and not all_numbers(lookup.keys) else None
    readings = (
        _order(lines, lookup),
        _order(in_order, lookup),
        [_keyed(line, lookup) for line in lines],
        placed or [],
    )
    return next((whole for pairs in readings if (whole := _complete(pairs, lookup))), None)


def _by_places(names: Sequence[str], lookup: Lookup) -> Pairs | None:
    """Names in label order; None where one of them is another class: then the places are not those of the classes."""
    pairs = list(zip(lookup.keys, names, strict=True))
    return pairs if all(lookup.spelled(name) in (None, key) for key, name in pairs) else None


def _order(lines: Sequence[str], lookup: Lookup) -> list[tuple[str, str] | None]:
    keys = [lookup.spelled(line) for line in lines]
    return [None if key is None else (key, lookup.name(key, line)) for key, line in zip(keys, lines, strict=True)]


def _keyed(line: str, lookup: Lookup) -> tuple[str, str] | None:
    """A line that begins with a class: the longest that fits, as `cat fish` beside `cat`. A tab ends the class where there is one."""
    places = list(SEPARATOR.finditer(line))
    if "\t" in line:
        places = [place for place in places if "\t" in place[0]][:1]
    for place in reversed(places):
        key = lookup.called(line[: place.start()])
        if key is not None and line[place.end() :]:
            return key, line[place.end() :]
    return None


def _complete(pairs: Sequence[tuple[str, str] | None], lookup: Lookup) -> Pairs | None:
    """The pairs, if they speak of each class once."""
    whole = [pair for pair in pairs if pair is not None]
    fits = len(whole) == len(pairs) and sorted(key for key, _ in whole) == sorted(lookup.keys)
    return whole if fits else None


def _by_place(path: Location, lines: Sequence[str], lookup: Lookup) -> Pairs | None:
    """Names alone, in label order, for classes that are numbers; None where the lines begin with numbers or classes of their own."""
    if any("\t" in line for line in lines) or (lines and all(map(NUMBERED.fullmatch, lines))):
        return None
    count = len(lines) - (lines[:1] != [] and _is_heading(lines[0]))
    if count != len(lookup.keys):
        raise InputError(f"{path} names {count} classes, the data has {len(lookup.keys)}; give one name a line, in class order.")
    ids = [WORDNET.fullmatch(line) for line in lines]
    names = [match[1] for match in ids if match] if all(ids) else list(lines)
    return _by_places(names, lookup)


def _said(pairs: Pairs, lookup: Lookup, how: str) -> tuple[str, ...]:
    """A remark on classes that are called otherwise: nothing but a person can tell whether the names are the right ones."""
    renamed = [f"{lookup.shown[key]!r} is {name!r}" for key, name in pairs if name != lookup.shown[key]]
    listed = ", ".join(renamed if len(renamed) <= EXAMPLES else [*renamed[:EXAMPLES], "and so on"])
    return (f"class names{how}: {listed}",) if renamed else ()


def _misfit(lines: Sequence[str], lookup: Lookup) -> str:
    """How the lines and the classes differ, in words that name both."""
    keyed = [_keyed(line, lookup) for line in lines]
    keys = [lookup.spelled(line) or (pair[0] if pair else None) for line, pair in zip(lines, keyed, strict=True)]
    unknown = [line.split("\t")[0] for line, key in zip(lines, keys, strict=True) if key is None]
    missing = [lookup.shown[key] for key in lookup.keys if key not in keys]
    twice = [key for key, count in Counter(keys).items() if key is not None and count > 1]
    parts = [f"lacks {named(missing)}"] * bool(missing)
    parts += [f"names {named(unknown)}, which the data has not"] * bool(unknown)
    parts += [f"names a class twice: {named(twice)}"] * bool(twice)
    return " and ".join(parts) or "mixes lines of a class alone with lines of a class and its name"


def _refuse_unfit(path: Location, pairs: Pairs, lookup: Lookup) -> None:
    for key, name in pairs:
        why = unfit(name) or " (it begins as a comment does)" * name.startswith(COMMENT) if name != lookup.shown[key] else ""
        if why:
            raise InputError(f"{path}: the name {name!r:.80} cannot be used{why}; correct it.")
    if all(name != lookup.shown[key] and _is_columns(key, name) for key, name in pairs):
        raise InputError(
            f"{path} has more than two columns: class {pairs[0][0]!r} would be {pairs[0][1]!r:.80}; keep the class and its name."
        )


def _refuse_doubles(path: Location, pairs: Pairs) -> None:
    twice = sorted(name for name, count in Counter(name for _, name in pairs).items() if count > 1)
    if twice:
        raise InputError(f"{path} gives several classes one name: {named(twice)}; make them different.")


def _refuse_places(path: Location, lines: Sequence[str], pairs: Pairs) -> None:
    """`cat,0` says a place more likely than a name; who means the name writes a tab."""
    numbers = sorted(name for _, name in pairs) == sorted(map(str, range(len(pairs))))
    if numbers and not all_numbers(key for key, _ in pairs) and not any("\t" in line for line in lines):
        raise InputError(f"{path} gives classes numbers for names; write `0 class` for the order, or a tab where the number is the name.")


def _lines(path: Location) -> list[str]:
    try:
        text = unicodedata.normalize("NFC", text_of(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(f"cannot read the class names in {path}: {reason}; give --classes a UTF-8 text file.") from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    items = [ITEM.fullmatch(line) for line in lines]
    return [item[1] for item in items if item] if all(items) else lines


def _unquoted(line: str) -> str:
    """A line as spreadsheets write it, without its quotes."""
    divider = next((sign for sign in ",\t;" if f'{sign}"' in line), "," if line.startswith('"') else "")
    return divider.join(next(csv.reader([line], delimiter=divider))) if divider else line


def _is_columns(key: str, name: str) -> bool:
    return COLUMNS.fullmatch(name) is not None or (name.startswith(key) and SEPARATOR.match(name, len(key)) is not None)


def _is_heading(line: str) -> bool:
    return all(word in HEADINGS for word in re.split(r"[\W_]+", line.casefold()))


def _plain(text: str) -> str:
    return re.sub(r"[\s_-]+", " ", text.casefold()).strip()


def _distinct(form: Callable[[str], str], classes: Mapping[str, str]) -> dict[str, str]:
    """Classes by a form of their key and of their shown name, but for forms that several share."""
    pairs = {(form(text), key) for key, shown in classes.items() for text in (key, shown) if text}
    count = Counter(text for text, _ in pairs)
    return {text: key for text, key in pairs if count[text] == 1}
