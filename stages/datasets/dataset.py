"""The one shape every data source is brought into."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Dataset:
    """Samples sorted by id within each split, class names in label order, and prompts.

    `remarks` are sentences a person should see: splits that were drawn, empty classes, files left out.
    """

    name: str
    samples: tuple[Sample, ...]
    classes: tuple[str, ...]
    templates: tuple[str, ...]
    remarks: tuple[str, ...] = ()

    def split(self, name: str) -> tuple[Sample, ...]:
        """The samples of one split, sorted by id."""
        return tuple(sample for sample in self.samples if sample.split == name)
