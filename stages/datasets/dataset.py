"""The one shape every data source is brought into: samples in columns, and what their classes are called."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import eq

import numpy as np

from xmap.stages.datasets.places.columns import Array, Files, Places, column, joined_places, places_of
from xmap.stages.datasets.places.place import Place, unit

TRAIN, VAL, TEST = "train", "val", "test"
SPLITS = (TRAIN, VAL, TEST)


def order(split: str) -> int:
    """The place of a split among the others; that of samples which have none comes first."""
    return SPLITS.index(split) if split else -1


@dataclass(frozen=True)
class Item:
    """One image as a reader found it: `key` is its class before display names, `split` and `group` are empty where the data has none."""

    sample_id: str
    place: Place
    key: str
    split: str
    group: str = ""


@dataclass(frozen=True)
class Sample:
    """One image: `sample_id` is its relative path (NFC, POSIX), `place` is where its bytes are, `label` indexes the classes.

    Samples of one `group` belong together, such as frames of one recording; empty: it stands alone.
    """

    sample_id: str
    place: Place
    label: int
    split: str
    group: str = ""

    @property
    def source(self) -> str:
        """The file that holds its bytes, as the id names it: the image itself, its tar or its table."""
        inside = unicodedata.normalize("NFC", self.place.name) if unit(self.place) else ""
        return self.sample_id.removesuffix(f"/{inside}") if inside else self.sample_id


@dataclass(frozen=True, eq=False)
class Samples:
    """Many samples in columns (n,); a row read by itself is a `Sample`.

    `ids` and `groups` `TEXT`, `labels` int32, `splits` int8 as `order` numbers them, `contents` the blake3 of their bytes (`DIGEST`, zeros
    for what cannot be read), once these were asked for.
    """

    ids: Array
    places: Places
    labels: Array
    splits: Array
    groups: Array
    contents: Array | None = None

    @classmethod
    def of(cls, samples: Iterable[Sample]) -> Samples:
        """The columns of these samples, in their order."""
        listed = list(samples)
        return cls(
            column(sample.sample_id for sample in listed),
            places_of(sample.place for sample in listed),
            np.asarray([sample.label for sample in listed], np.int32),
            np.asarray([order(sample.split) for sample in listed], np.int8),
            column(sample.group for sample in listed),
        )

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, row: int) -> Sample:
        split = int(self.splits[row])
        return Sample(self.ids[row], self.places[row], int(self.labels[row]), "" if split < 0 else SPLITS[split], self.groups[row])

    def __eq__(self, other: object) -> bool:
        """Whether the samples are the same ones, in the same order."""
        return isinstance(other, Samples) and len(self) == len(other) and all(map(eq, self, other))

    def __iter__(self) -> Iterator[Sample]:
        return (self[row] for row in range(len(self)))

    def take(self, rows: Array) -> Samples:
        """Some of the samples, in the given order."""
        ids = self.ids[rows]
        groups = self.groups[rows] if self.grouped() else ungrouped(len(ids))
        columns = ids, self.places.take(rows), self.labels[rows], self.splits[rows], groups
        return Samples(*columns, None if self.contents is None else self.contents[rows])

    def joined(self, others: Samples, contents: Callable[[Places], Array]) -> Samples:
        """These samples and others after them, whose contents are asked for where these have them."""
        return Samples(
            np.concatenate([self.ids, others.ids]),
            joined_places(self.places, others.places),
            np.concatenate([self.labels, others.labels]),
            np.concatenate([self.splits, others.splits]),
            np.concatenate([self.groups, others.groups]),
            None if self.contents is None else np.concatenate([self.contents, contents(others.places)]),
        )

    def ordered(self) -> Samples:
        """The samples by split, and by id within each."""
        splits, ids = self.splits, self.ids
        later = (splits[1:] > splits[:-1]) | ((splits[1:] == splits[:-1]) & (ids[1:] >= ids[:-1]))
        if later.all():
            return self
        if not (ids[1:] >= ids[:-1]).all():
            return self.take(np.argsort(ids, kind="stable")).ordered()
        return self.take(np.argsort(splits, kind="stable"))

    def grouped(self) -> bool:
        """Whether any of them belong together."""
        return self.groups.strides != (0,) and bool((self.groups != "").any())

    def sources(self) -> list[str]:
        """The `source` of each sample."""
        # A file is its own: nothing of millions of samples is looked at one by one.
        return self.ids.tolist() if isinstance(self.places, Files) else [sample.source for sample in self]

    def split(self, name: str) -> Array:
        """The rows of one split."""
        return np.flatnonzero(self.splits == order(name))


@dataclass(frozen=True)
class Dataset:
    """Samples sorted by id within each split, class names in label order, and prompts.

    `remarks` are sentences a person should see: splits that were drawn, empty classes, files left out. `sentences` describe each class
    beside the templates, where anybody has described any, and `text_remarks` are on these: they say nothing of images.
    """

    name: str
    samples: Samples
    classes: tuple[str, ...]
    templates: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    sentences: tuple[tuple[str, ...], ...] = ()
    text_remarks: tuple[str, ...] = ()

    def split(self, name: str) -> Samples:
        """The samples of one split, sorted by id."""
        return self.samples.take(self.samples.split(name))

    def prompts(self) -> Iterator[tuple[int, str, str]]:
        """What the encoder reads of each class, class by class: its label, a template or a sentence, and the text.

        A sentence stands as it is; one that a filled template says already is not said twice.
        """
        for label, name in enumerate(self.classes):
            filled = [template.replace("{}", name) for template in self.templates]
            yield from ((label, template, prompt) for template, prompt in zip(self.templates, filled, strict=True))
            described = self.sentences[label] if self.sentences else ()
            yield from ((label, sentence, sentence) for sentence in described if sentence not in filled)

    def taking(self, rows: Array, *remarks: str) -> Dataset:
        """The data set of some of its samples, and more remarks."""
        return replace(self, samples=self.samples.take(rows), remarks=(*self.remarks, *remarks))


def ungrouped(count: int) -> Array:
    """So many empty groups (count,), in the memory of one."""
    return np.broadcast_to(column([""]), count)


def known_contents(samples: Samples) -> Array:
    """The contents of samples, which were asked for."""
    if samples.contents is None:
        raise TypeError("the contents of these samples were not asked for")
    return samples.contents


def unlabelled(name: str, samples: Samples, remarks: Sequence[str]) -> Dataset:
    """A data set of images that have neither label nor split: there is no class, and each label is 0."""
    return Dataset(name, samples.ordered(), (), (), tuple(remarks))


def forgotten(dataset: Dataset) -> Dataset:
    """The images of a data set without their labels and splits."""
    samples, nothing = dataset.samples, np.zeros(len(dataset.samples), np.int8)
    return unlabelled(dataset.name, replace(samples, labels=nothing.astype(np.int32), splits=nothing - 1), dataset.remarks)


def rows_of(items: Sequence[Item], keys: Sequence[str]) -> Samples:
    """The samples of items that a reader found one by one; their labels number `keys`."""
    labels = {key: label for label, key in enumerate(keys)}
    return Samples.of(Sample(item.sample_id, item.place, labels[item.key], item.split, item.group) for item in items)
