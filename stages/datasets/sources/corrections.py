"""Labels that lie over the data's own: tables of images and their right classes. No file is moved and nothing encoded again.

Of two tables that name an image the later one counts: whoever corrects a second time gives both, and loses nothing.

A row names an image by its sample id or path, by the blake3 of its bytes, or by both: then the image of that id is meant as long as it has
these bytes, else those that have them now. A path that leads to an image which the data has not adds it to training, whatever the splits:
such images were chosen, mostly as hard ones, and would bend a test. Rows that name another data set are passed over: the suspects of a
store are of all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from xmap.stages.datasets.classes.labels import NONE, WHOLE, label_of
from xmap.stages.datasets.content.hashing import Contents
from xmap.stages.datasets.dataset import TRAIN, Dataset, Sample, Samples, known_contents
from xmap.stages.datasets.places.columns import Array
from xmap.stages.datasets.places.place import Place, shown
from xmap.stages.datasets.sources.columns import CONTENT, DATASET, LABEL, PATH
from xmap.stages.datasets.sources.finder import Finder, meant, text_of
from xmap.stages.datasets.sources.new_images import NewImages, labels_at
from xmap.stages.datasets.sources.table_files import Table
from xmap.stages.datasets.splits.names import says_splits
from xmap.store.disk.plain import named
from xmap.store.errors import InputError

Words = Mapping[str, int]

# In place of a class: the image is no part of the data set.
LEAVE_OUT = "leave-out"
# The numbers of no class: of a word that means several, and of an image that is left out.
SEVERAL, GONE = -1, -2


def corrected(dataset: Dataset, tables: Sequence[str], contents: Contents) -> Dataset:
    """The data set with the labels of `tables` in place of its own, without the images that they leave out and the classes that they empty.

    Images that it has not join its training images. Raises `InputError` for a file that is no such table, for an image that is nowhere and
    a class that the data has not, where a table gives an image two labels, and where one class is left.
    """
    if not tables:
        return dataset
    images = _Images(dataset, contents)
    labelled, remarks, words = dataset.samples.labels.copy(), [], set[str]()
    for table in tables:
        said = images.read(table)
        # Of a new image nothing was said before.
        before = np.concatenate([labelled, np.full(images.total - len(labelled), GONE, labelled.dtype)])
        labelled = before.copy()
        labelled[list(said.wanted)] = [images.classes[word] for word in said.wanted.values()]
        words.update(said.wanted.values())
        remarks.append(_said(shown(table), before, labelled, said, len(dataset.samples)))
    stay = np.flatnonzero(labelled != GONE)
    names = " and ".join(map(shown, tables))
    if len(np.unique(labelled[stay])) < 2:
        raise InputError(f"--labels {names} leaves images of one class or none, and with one class every answer is right; correct it.")
    found = replace(dataset, samples=replace(images.samples(), labels=labelled)).taking(stay, *remarks)
    return _without_emptied(replace(found, samples=found.samples.ordered()), dataset.samples.labels, names, words)


def rows_named(dataset: Dataset, tables: Sequence[str]) -> list[int]:
    """The rows of samples that tables give a label, or leave out. Raises `InputError` for what is no such table."""
    finder = Finder(dataset, lambda places: known_contents(dataset.samples))
    return [
        found
        for labels in tables
        for number, row in labels_at(labels)[1].rows
        if label_of(row[LABEL])[1] != NONE
        for found in finder.find(f"{shown(labels)} row {number}", row.get(PATH), row.get(CONTENT))
    ]


@dataclass(frozen=True)
class _Labels:
    """What a table calls the class of each row of samples that it names, the other data sets in it, and the new images without a label."""

    wanted: Mapping[int, str]
    others: Sequence[str]
    bare: int


def _said(name: str, before: Array, after: Array, said: _Labels, old: int) -> str:
    """What a table did to the labels (n,), of which the data has `old`, and which of its rows it did nothing with."""
    added = (before == GONE) & (after != GONE) & (np.arange(len(after)) >= old)
    changed, left_out = ((before != after) & (after != GONE) & ~added).sum(), ((before != after) & (after == GONE)).sum()
    images = "1 image" if changed == 1 else f"{changed:,} images"
    remark = f"{name} corrects the labels of {images} and leaves out {left_out:,}"
    remark += f", and adds {added.sum():,} to training" if added.any() else ""
    remark += f"; {said.bare:,} of its rows have no label yet" if said.bare else ""
    return remark + (f"; its rows of other data sets were passed over: {named(said.others)}" if said.others else "")


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


@dataclass
class _Images:
    """The images of a data set and those that tables add to it, by their rows; the new ones come last."""

    dataset: Dataset
    contents: Contents
    new: list[Sample] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.classes, self._finder = _classes(self.dataset), Finder(self.dataset, self.contents)

    @property
    def total(self) -> int:
        return len(self.dataset.samples) + len(self.new)

    def samples(self) -> Samples:
        old = self.dataset.samples
        return old.joined(Samples.of(self.new), self.contents) if self.new else old

    def read(self, labels: str) -> _Labels:
        """What the table says."""
        (path, table), name = labels_at(labels), shown(labels)
        others, new = _others(table, self.dataset, name), NewImages(path, table)
        wanted: dict[int, tuple[int, str]] = {}
        bare = 0
        for number, row in table.rows:
            if others and text_of(row[DATASET]) in others:
                continue
            here = f"{name} row {number}"
            found = self._finder.find(here, row.get(PATH), row.get(CONTENT)) or [self._add(new.find(here, number, row, self.contents))]
            if label_of(row[LABEL])[1] == NONE and min(found) >= len(self.dataset.samples):
                bare += 1
                continue
            word = _word(here, row[LABEL], self.classes)
            for place in found:
                first, known = wanted.setdefault(place, (number, word))
                if self.classes[known] != self.classes[word]:
                    sample_id = self.samples().ids[place]
                    raise InputError(f"{here} gives {sample_id!r} another label than row {first}; keep one of them.")
        return _Labels({place: word for place, (_, word) in wanted.items()}, others, bare)

    def _add(self, image: tuple[str, Place]) -> int:
        sample_id, place = image
        self.new.append(Sample(sample_id, place, GONE, TRAIN))
        self._finder.add(self.total - 1, sample_id, place)
        return self.total - 1


def _others(table: Table, dataset: Dataset, name: str) -> list[str]:
    """What the rows of other data sets call these. Raises `InputError` where all are."""
    column = table.columns.get(DATASET)
    said = [text_of(row[DATASET]) for _, row in table.rows] if column else []
    # Some call the column of the splits so.
    if not column or says_splits(column, said):
        return []
    others = [word for word in dict.fromkeys(said) if word and meant(word, (dataset.name,)) != dataset.name]
    if said and set(said) <= set(others):
        raise InputError(
            f"{name} has rows of {named(others)} alone, and this data set is called {dataset.name!r}; "
            f"if they are of its images, remove the column {column!r}."
        )
    return others


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
    text = meant(text, classes)
    # A spreadsheet or pandas makes 3.0 of a 3 where other cells of the column are empty.
    whole = WHOLE.fullmatch(text)
    text = whole[1] if whole and text not in classes else text
    if why or text not in classes:
        known = [name for name in classes if name != LEAVE_OUT]
        names = named([name for name in known if not name.isdecimal()] or known)
        raise InputError(f"{row} has label {value!r:.80}, which is no class of the data{why}; write one of {names}, or {LEAVE_OUT}.")
    if classes[text] == SEVERAL:
        raise InputError(f"{row} has label {text!r}, which several classes are called; give the number of the one that is meant.")
    return text
