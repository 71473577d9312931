"""Corrected labels, which lie over the data's own: tables of images and their right classes. No file is moved and nothing encoded again.

Of two tables that name an image the later one counts: whoever corrects a second time gives both, and loses nothing.

A row names an image by its sample id or path, by the blake3 of its bytes, or by both: then the image of that id is meant as long as it has
these bytes, else those that have them now. Rows that name another data set are passed over: the suspects of a store are of all.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from xmap.stages.datasets.classes.labels import label_of
from xmap.stages.datasets.content.hashing import Contents, with_contents
from xmap.stages.datasets.dataset import Dataset, known_contents
from xmap.stages.datasets.places.columns import Array, texts
from xmap.stages.datasets.places.place import location, shown
from xmap.stages.datasets.sources.columns import CONTENT, CORRECTIONS, DATASET, LABEL, PATH
from xmap.stages.datasets.sources.table_files import TABLES, Table, read_table
from xmap.stages.datasets.splits.names import says_splits
from xmap.store.disk.plain import FORMULA, named
from xmap.store.errors import InputError
from xmap.store.memory.hashes import hexes

Words = Mapping[str, int]

# In place of a class: the image is no part of the data set.
LEAVE_OUT = "leave-out"
# The numbers of no class: of a word that means several, and of an image that is left out.
SEVERAL, GONE = -1, -2
FORM = f"give a table ({', '.join(TABLES)}) with the columns sample_id (or path, or content: the blake3 of a file) and label"


def corrected(dataset: Dataset, tables: Sequence[str], contents: Contents) -> Dataset:
    """The data set with the labels of `tables` in place of its own, without the images that they leave out and the classes that they empty.

    Raises `InputError` for a file that is no such table, for an image or a class that the data has not, where a table gives an image two
    labels, and where one class is left.
    """
    if not tables:
        return dataset
    classes, finder = _classes(dataset), _Finder(dataset, contents)
    labelled, remarks, words = dataset.samples.labels.copy(), [], set[str]()
    for table in tables:
        wanted, others = _read(dataset, table, classes, finder)
        before = labelled.copy()
        labelled[list(wanted)] = [classes[word] for word in wanted.values()]
        words.update(wanted.values())
        remarks.append(_said(shown(table), before, labelled, others))
    stay = np.flatnonzero(labelled != GONE)
    names = " and ".join(map(shown, tables))
    if len(np.unique(labelled[stay])) < 2:
        raise InputError(f"--labels {names} leaves images of one class or none, and with one class every answer is right; correct it.")
    found = replace(dataset, samples=replace(dataset.samples, labels=labelled)).taking(stay, *remarks)
    return _without_emptied(found, dataset.samples.labels, names, words)


def _said(name: str, before: Array, after: Array, others: Sequence[str]) -> str:
    """What a table did to the labels (n,), and which of its rows it did nothing with."""
    changed, left_out = ((before != after) & (after != GONE)).sum(), ((before != after) & (after == GONE)).sum()
    images = "1 image" if changed == 1 else f"{changed:,} images"
    remark = f"{name} corrects the labels of {images} and leaves out {left_out:,}"
    return remark + (f"; its rows of other data sets were passed over: {named(others)}" if others else "")


def _without_emptied(dataset: Dataset, before: Array, names: str, words: Container[str]) -> Dataset:
    """The data set without the classes that corrections emptied, `before` which they had images: no answer can be one of them.

    Raises `InputError` where a word is a class's number: these are others afterwards.
    """
    labels, count = dataset.samples.labels, len(dataset.classes)
    emptied = (np.bincount(before, minlength=count) > 0) & (np.bincount(labels, minlength=count) == 0)
    gone = [name for name, empty in zip(dataset.classes, emptied, strict=True) if empty]
    if not gone:
        return dataset
    if any(str(label) in words and str(label) not in dataset.classes for label in range(count)):
        raise InputError(
            f"--labels {names} leaves no image of {named(gone)}, and names classes by numbers, which are others without it; write their "
            "names (--classes gives each one of its own), or leave an image of it."
        )
    left = tuple(name for name, empty in zip(dataset.classes, emptied, strict=True) if not empty)
    numbers = (np.cumsum(~emptied) - 1).astype(labels.dtype)
    remark = f"{names} leaves no image of {named(gone)}: no class of this run; to keep a class, leave one of its images in it"
    return replace(dataset, samples=replace(dataset.samples, labels=numbers[labels]), classes=left, remarks=(*dataset.remarks, remark))


def words_of(classes: Sequence[str]) -> list[str]:
    """What a table writes for each class: its name, its number where the name would not be read as this class, or nothing at all."""
    known = {} if LEAVE_OUT in classes else _words(classes)
    return [
        next((word for word in (name, str(label)) if label_of(word) == (word, "") and known.get(word) == label), "")
        for label, name in enumerate(classes)
    ]


def _read(dataset: Dataset, labels: str, classes: Words, finder: _Finder) -> tuple[dict[int, str], list[str]]:
    """What the table calls the class of each row of samples that it names; and the other data sets in it."""
    path, name = location(labels), shown(labels)
    if path.suffix.lower() not in TABLES or (isinstance(path, Path) and not path.is_file()):
        raise InputError(f"--labels {name} is no table that is there; {FORM}.")
    wanted: dict[int, tuple[int, str]] = {}
    table = read_table(path, CORRECTIONS)
    others = _others(table, dataset, name)
    for number, row in table.rows:
        if others and _text(row[DATASET]) in others:
            continue
        word = _word(f"{name} row {number}", row[LABEL], classes)
        for place in finder.find(f"{name} row {number}", row.get(PATH), row.get(CONTENT)):
            first, known = wanted.setdefault(place, (number, word))
            if classes[known] != classes[word]:
                sample_id = dataset.samples.ids[place]
                raise InputError(f"{name} row {number} gives {sample_id!r} another label than row {first}; keep one of them.")
    return {place: word for place, (_, word) in wanted.items()}, others


def _others(table: Table, dataset: Dataset, name: str) -> list[str]:
    """What the rows of other data sets call these. Raises `InputError` where all are."""
    column = table.columns.get(DATASET)
    said = [_text(row[DATASET]) for _, row in table.rows] if column else []
    # Some call the column of the splits so.
    if not column or says_splits(column, said):
        return []
    others = [word for word in dict.fromkeys(said) if word and _meant(word, (dataset.name,)) != dataset.name]
    if said and set(said) <= set(others):
        raise InputError(
            f"{name} has rows of {named(others)} alone, and this data set is called {dataset.name!r}; "
            f"if they are of its images, remove the column {column!r}."
        )
    return others


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _meant(text: str, known: Container[str]) -> str:
    """A text as it was before `xmap sql -o FILE.csv` or the report kept a spreadsheet from calculating it."""
    return text[1:] if text not in known and text[:1] == "'" and FORMULA.match(text[1:]) else text


def _classes(dataset: Dataset) -> Words:
    if LEAVE_OUT in dataset.classes:
        raise InputError(f"a class is called {LEAVE_OUT!r}, which in --labels means that an image is left out; rename it with --classes.")
    return _words(dataset.classes)


def _words(classes: Sequence[str]) -> Words:
    """The class that a word in the column `label` means."""
    count = Counter(classes)
    names = {name: label for label, name in enumerate(classes) if count[name] == 1}
    # Where classes are called by numbers, a number is a name.
    numbers = {} if any(name.isdecimal() for name in names) else {str(label): label for label in range(len(classes))}
    return {**numbers, **names, **dict.fromkeys((name for name, times in count.items() if times > 1), SEVERAL), LEAVE_OUT: GONE}


def _word(row: str, value: Any, classes: Words) -> str:
    text, why = label_of(value)
    text = _meant(text, classes)
    if why or text not in classes:
        names = named([name for name in classes if name != LEAVE_OUT and not name.isdecimal()] or list(classes))
        raise InputError(f"{row} has label {value!r:.80}, which is no class of the data{why}; write one of {names}, or {LEAVE_OUT}.")
    if classes[text] == SEVERAL:
        raise InputError(f"{row} has label {text!r}, which several classes are called; give the number of the one that is meant.")
    return text


class _Finder:
    """Rows of samples by what a table may call them: an id or a path at once, a content once one is asked for."""

    def __init__(self, dataset: Dataset, contents: Contents) -> None:
        samples = dataset.samples
        # Ids are NFC; paths are as the file system has them, and Macs copy the names of files decomposed.
        paths = (_nfc(str(samples.places[row])) for row in range(len(samples)))
        self.names = {name: row for names in (paths, texts(samples.ids)) for row, name in enumerate(names)}
        self._dataset, self._contents = dataset, contents
        self._by_content: dict[str, list[int]] = defaultdict(list)

    def find(self, row: str, name: Any, content: Any) -> list[int]:
        """The samples that a row's cells name. Raises `InputError` for none."""
        text, digest = _meant(_nfc(_text(name)), self.names), _text(content).strip().lower()
        # A file's name may begin or end with a space.
        found = self.names.get(text, self.names.get(text.strip()))
        if found is not None and not digest:
            return [found]
        alike = self._alike(digest or text.strip().lower())
        if found is not None and not alike:
            raise InputError(
                f"{row} names {text!r:.200}, which has other bytes now than its content says; remove the row, or only its content "
                "where the label is right all the same."
            )
        if not alike:
            unknown = f"{text or digest!r:.200}, which is no image of the data"
            raise InputError(f"{row} names {unknown}; give its sample id, as `xmap sql` shows it.")
        return [found] if found in alike else alike

    def _alike(self, digest: str) -> list[int]:
        """The samples with these bytes."""
        if len(digest) == 64 and not self._by_content:
            for row, content in enumerate(hexes(known_contents(with_contents(self._dataset, self._contents).samples))):
                self._by_content[content].append(row)
            # What cannot be read.
            self._by_content.pop("0" * 64, None)
        return self._by_content.get(digest, [])
