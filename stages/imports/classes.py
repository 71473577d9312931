"""Labels as others write them, names or numbers, to classes in label order. A row may have none: it is one of a pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pyarrow as pa

from xmap.stages.datasets.classes.labels import NONE, label_of, refuse_one_class
from xmap.stages.datasets.classes.names_file import Names, read_names
from xmap.stages.datasets.classes.order import NUMBER, all_numbers, in_order, said_alike
from xmap.stages.datasets.places.place import location
from xmap.store.disk.plain import named
from xmap.store.errors import InputError
from xmap.store.formats.tables import Array

HOLLOW = "-1"
# Class numbers up to which a list of all of them is made.
MOST = 1 << 20


@dataclass(frozen=True)
class Known:
    """What is known of classes beside the labels.

    `names` by number where the layout has them, `hollow` where its label -1 means none, `file` of --classes, and how many `texts` there
    are in a file that does not name them.
    """

    names: Sequence[str] | None = None
    hollow: bool = False
    file: str = ""
    texts: int | None = None


@dataclass(frozen=True, eq=False)
class Classes:
    """Classes in label order: `keys` as labels spell them, `names` as they are called, and `labels` (R,) int32, -1 of a row without one.

    `places` (N,) are those of the classes in a list of `listed`, such as texts without names are; None where no order of them is known.
    """

    keys: tuple[str, ...]
    names: tuple[str, ...]
    labels: Array
    places: Array | None
    listed: int
    remarks: tuple[str, ...] = ()


def unlabelled(rows: int) -> Classes:
    """The classes of a pool: there are none."""
    return Classes((), (), np.full(rows, -1, np.int32), None, 0)


def classes_of(column: pa.Array, place: str, known: Known) -> Classes:
    """The classes of a column of labels (R) called `place`; those without an image are left out.

    Raises `InputError`, with the first row, for labels that cannot be used and class numbers out of range, for a file of names that does
    not fit, and for a single class.
    """
    if pa.types.is_nested(column.type):
        raise InputError(f"{place}: its labels are {column.type}; give one class name or number a row.")
    written = column.dictionary_encode()
    values = written.dictionary.to_pylist()
    codes = written.indices.fill_null(len(values)).to_numpy(zero_copy_only=False)
    said = [label_of(value) for value in [*values, None]]
    _refuse([why if why != NONE else "" for _, why in said], [*values, None], codes, place, "give a class name or number")
    texts = ["" if known.hollow and text == HOLLOW else text for text, _ in said]
    if not any(texts):
        return unlabelled(len(column))
    if all(NUMBER.fullmatch(text) for text in texts if text):
        limit = known.texts if known.names is None else len(known.names)
        _refuse(_out_of_range(texts, limit), [*values, None], codes, place, "class numbers count from 0" + _named_by(known, limit))
        texts = [str(int(Decimal(text))) if text else "" for text in texts]
        names, places = _numbers({text for text in texts if text}, limit, known)
    else:
        names, places = _texts({text for text in texts if text}, known)
    labels = {key: label for label, key in enumerate(names.keys)}
    lookup = np.asarray([labels[text] if text else -1 for text in texts], np.int32)
    alike = _said_alike(values, texts)
    return _with_images(names, lookup[codes], places, place, (*alike, *said_alike(labels), *names.remarks))


def _out_of_range(texts: Sequence[str], limit: int | None) -> list[str]:
    """Why each label is no class number below a limit, if there is one; empty where it is, or where it says none."""
    return ["" if not text or (all_numbers([text]) and (limit is None or Decimal(text) < limit)) else "out of range" for text in texts]


def _named_by(known: Known, limit: int | None) -> str:
    return "" if limit is None else f" and there are {limit:,} {'class texts' if known.names is None else 'class names'}"


def _numbers(keys: set[str], limit: int | None, known: Known) -> tuple[Names, Array | None]:
    """The classes of labels that are numbers, and where each stands in a list of all."""
    if limit is None and known.file:
        limit = min(max(map(int, keys)) + 1, MOST)
    listed = in_order(keys) if limit is None else [str(number) for number in range(limit)]
    names = Names(listed, known.names or listed)
    found = read_names(location(known.file), names) if known.file else names
    return found, np.asarray(list(map(int, found.keys)))


def _texts(keys: set[str], known: Known) -> tuple[Names, Array | None]:
    """The classes of labels that are names, whose order a file may say."""
    names = Names(in_order(keys), in_order(keys))
    return (read_names(location(known.file), names), np.arange(len(keys))) if known.file else (names, None)


def _with_images(names: Names, labels: Array, places: Array | None, place: str, remarks: Sequence[str]) -> Classes:
    """The classes that some row has."""
    there = np.flatnonzero(np.bincount(labels[labels >= 0], minlength=len(names.keys))).tolist()
    kept = tuple(names.names[label] for label in there)
    refuse_one_class(kept, place)
    again = np.full(len(names.keys) + 1, -1, np.int32)
    again[there] = np.arange(len(there))
    absent = [name for name in names.names if name not in set(kept)]
    remark = f"{len(absent)} classes without images were left out: {named(absent)}"
    return Classes(
        tuple(names.keys[label] for label in there),
        kept,
        again[labels],
        None if places is None else places[there],
        len(names.keys) if places is not None else 0,
        (*remarks, *(remark,) * bool(absent)),
    )


def _said_alike(values: Sequence[object], texts: Sequence[str]) -> tuple[str, ...]:
    """A remark on labels that are one class, as they differ in blanks at their ends alone or in how a letter is encoded."""
    spellings: dict[str, list[str]] = {}
    for value, text in zip(values, texts, strict=False):
        if isinstance(value, str) and text:
            spellings.setdefault(text, []).append(value)
    several = [value for found in spellings.values() if len(found) > 1 for value in found]
    return (f"labels that differ in blanks or encoding alone are one class: {named(several)}",) * bool(several)


def _refuse(whys: Sequence[str], values: Sequence[object], codes: Array, place: str, remedy: str) -> None:
    """Raise `InputError` with the first row whose label cannot be used, by the reasons of the different labels."""
    bad = np.asarray([bool(why) for why in whys])[codes]
    if bad.any():
        row = int(np.argmax(bad))
        why, more = whys[codes[row]].strip(" ()"), f" ({int(bad.sum()):,} rows have such)" * bool(bad.sum() > 1)
        raise InputError(
            f"{place} row {row:,} has the label {values[codes[row]]!r:.80}, {why}{more}; {remedy}, or no label where there is none."
        )
