"""Labels that lie over the data's own: tables of images and their right classes. No file is moved and nothing encoded again.

A row names an image by its sample id or path, by the blake3 of its bytes, or by both: then the image of that id is meant as long as it has
these bytes, else those that have them now. A path that leads to an image which the data has not adds it. Rows that name another data set
are passed over: the suspects of a store are of all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from xmap.stages.datasets.classes.labels import NONE, label_of
from xmap.stages.datasets.content.hashing import Contents
from xmap.stages.datasets.dataset import TRAIN, Dataset, Sample, Samples, known_contents
from xmap.stages.datasets.places.place import Location, Place, shown
from xmap.stages.datasets.sources.columns import CONTENT, CORRECTIONS, DATASET, LABEL, PATH
from xmap.stages.datasets.sources.finder import Finder, meant, text_of
from xmap.stages.datasets.sources.new_images import NewImages, tables_at
from xmap.stages.datasets.sources.table_files import Table, read_table
from xmap.stages.datasets.splits.names import says_splits
from xmap.store.disk.plain import named
from xmap.store.errors import InputError

# In place of a class: the image is no part of the data set.
LEAVE_OUT = "leave-out"
SEVERAL, GONE = -1, -2


def corrected(dataset: Dataset, labels: str, contents: Contents) -> Dataset:
    """The data set with the labels of the tables at `labels` in place of its own, without the images that they leave out.

    Images that it has not are added to training, whatever its splits: they were chosen, mostly as hard ones, and would bend a test.
    Raises `InputError` for a file that is no such table, for an image that is nowhere and a class that the data has not, and where an
    image has two labels.
    """
    name, said = shown(labels), _Reader(dataset, contents).read(labels)
    labelled = dataset.samples.labels.copy()
    # The number of no class.
    labelled[list(said.labels)] = [GONE if label is None else label for label in said.labels.values()]
    stay = np.flatnonzero(labelled != GONE)
    changed, left_out = int((labelled != dataset.samples.labels)[stay].sum()), len(labelled) - len(stay)
    if len(np.unique(labelled[stay])) < 2:
        raise InputError(f"--labels {name} leaves images of one class or none, and with one class every answer is right; correct it.")
    images = "1 image" if changed == 1 else f"{changed:,} images"
    remark = f"{name} corrects the labels of {images} and leaves out {left_out:,}"
    remark += f", and adds {len(said.added):,} to training" if said.added else ""
    remark += f"; {said.bare:,} of its rows have no label yet" if said.bare else ""
    remark += f"; its rows of other data sets were passed over: {named(said.others)}" if said.others else ""
    right = replace(dataset, samples=replace(dataset.samples, labels=labelled)).taking(stay, remark)
    if not said.added:
        return right
    return replace(right, samples=right.samples.joined(Samples.of(said.added.values()), contents).ordered())


def rows_named(dataset: Dataset, labels: str) -> set[int]:
    """The rows of samples that the tables at `labels` give a label, or leave out. Raises `InputError` for what is no such table."""
    finder = Finder(dataset, lambda places: known_contents(dataset.samples))
    return {
        found
        for path in tables_at(labels)
        for number, row in read_table(path, CORRECTIONS).rows
        if label_of(row[LABEL])[1] != NONE
        for found in finder.find(f"{path} row {number}", row.get(PATH), row.get(CONTENT))
    }


def words_of(classes: Sequence[str]) -> list[str]:
    """What a table writes for each class: its name, its number where the name would not be read as this class, or nothing at all."""
    known = {} if LEAVE_OUT in classes else _words(classes)
    return [
        next((word for word in (name, str(label)) if label_of(word) == (word, "") and known.get(word) == label), "")
        for label, name in enumerate(classes)
    ]


@dataclass
class _Said:
    """What tables say: the label of each row of samples that they name, None for those that are left out, and of images that the data has
    not; how many of these have no label yet; and the other data sets in them."""

    labels: dict[int, int | None] = field(default_factory=dict)
    added: dict[str, Sample] = field(default_factory=dict)
    bare: int = 0
    others: list[str] = field(default_factory=list)


class _Reader:
    """Reads tables of labels over one data set; no image has two labels, whatever calls it."""

    def __init__(self, dataset: Dataset, contents: Contents) -> None:
        self._dataset, self._contents = dataset, contents
        self._finder, self._classes = Finder(dataset, contents), _classes(dataset)
        self._first: dict[int | str, tuple[str, int | None]] = {}
        self._said = _Said()

    def read(self, labels: str) -> _Said:
        for path in tables_at(labels):
            self._read(path)
        return self._said

    def _read(self, path: Location) -> None:
        name, table = shown(str(path)), read_table(path, CORRECTIONS)
        others = _others(table, self._dataset, name)
        self._said.others += [other for other in others if other not in self._said.others]
        new = NewImages(path, table)
        for number, row in table.rows:
            if others and text_of(row[DATASET]) in others:
                continue
            place = f"{name} row {number}"
            found = self._finder.find(place, row.get(PATH), row.get(CONTENT))
            if found:
                label = _label(place, row[LABEL], self._classes)
                self._said.labels.update((one, label) for one in found if self._once(one, self._dataset.samples.ids[one], place, label))
            else:
                self._add(place, new.find(place, number, row, self._contents), row[LABEL])

    def _add(self, place: str, image: tuple[str, Place], value: Any) -> None:
        sample_id, where = image
        if label_of(value)[1] == NONE:
            self._said.bare += 1
            return
        label = _label(place, value, self._classes)
        if self._once(sample_id, sample_id, place, label) and label is not None:
            self._said.added[sample_id] = Sample(sample_id, where, label, TRAIN)

    def _once(self, key: int | str, sample_id: str, place: str, label: int | None) -> bool:
        """Whether it is the first to say a label of this image. Raises `InputError` where another one was said."""
        first, known = self._first.setdefault(key, (place, label))
        if known != label:
            raise InputError(
                f"{place} gives {sample_id!r} another label than {first.removeprefix(place.rpartition('row')[0])}; keep one of them."
            )
        return first == place


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


def _classes(dataset: Dataset) -> Mapping[str, int | None]:
    if LEAVE_OUT in dataset.classes:
        raise InputError(f"a class is called {LEAVE_OUT!r}, which in --labels means that an image is left out; rename it with --classes.")
    return _words(dataset.classes)


def _words(classes: Sequence[str]) -> Mapping[str, int | None]:
    """The class that a word in the column `label` means."""
    count = Counter(classes)
    names = {name: label for label, name in enumerate(classes) if count[name] == 1}
    # Where classes are called by numbers, a number is a name.
    numbers = {} if any(name.isdecimal() for name in names) else {str(label): label for label in range(len(classes))}
    return {**numbers, **names, **dict.fromkeys((name for name, times in count.items() if times > 1), SEVERAL), LEAVE_OUT: None}


def _label(row: str, value: Any, classes: Mapping[str, int | None]) -> int | None:
    text, why = label_of(value)
    text = meant(text, classes)
    if why or text not in classes:
        names = named([name for name in classes if name != LEAVE_OUT and not name.isdecimal()] or list(classes))
        raise InputError(f"{row} has label {value!r:.80}, which is no class of the data{why}; write one of {names}, or {LEAVE_OUT}.")
    if classes[text] == SEVERAL:
        raise InputError(f"{row} has label {text!r}, which several classes are called; give the number of the one that is meant.")
    return classes[text]
