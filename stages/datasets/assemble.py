"""The last step of every reader: from the samples it found to a `Dataset`, with labels, display names and the splits that it found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from xmap.stages.config import DataConfig
from xmap.stages.datasets.classes.labels import refuse_one_class
from xmap.stages.datasets.classes.names_file import Names, read_names
from xmap.stages.datasets.classes.order import said_alike
from xmap.stages.datasets.dataset import Dataset, Samples
from xmap.stages.datasets.places.pictures import unread
from xmap.stages.datasets.places.place import location
from xmap.store.errors import InputError


def assemble(
    name: str, found: Samples, keys: Sequence[str], config: DataConfig, remarks: Sequence[str], names: Sequence[str] = ()
) -> Dataset:
    """The dataset of what was `found`, whose labels number `keys`, called `names`, unless the names file says otherwise.

    Either all samples have a split or none has: `stages.datasets.splits.divide` draws them. Raises `InputError` for a names file that does
    not fit the classes, for a single class, and for one of pictures alone that are not read.
    """
    refuse_one_class(keys)
    _require_readable(found, keys)
    classes = Names(keys, names or keys)
    if config.classes:
        classes = read_names(location(config.classes), classes)
    labels = {key: label for label, key in enumerate(classes.keys)}
    samples = replace(found, labels=np.asarray([labels[key] for key in keys], np.int32)[found.labels])
    said = (*remarks, *said_alike(keys), *classes.remarks)
    return Dataset(name, samples.ordered(), tuple(classes.names), config.templates, said)


def _require_readable(found: Samples, keys: Sequence[str]) -> None:
    rows = np.argsort(found.labels, kind="stable")
    for key, inside in zip(keys, np.split(rows, np.searchsorted(found.labels[rows], np.arange(1, len(keys)))), strict=True):
        if len(inside) and all(unread(found.ids[row]) for row in inside):
            first = found.ids[inside[0]]
            raise InputError(
                f"class {key!r} has {len(inside):,} pictures and none that is read: {first!r}: {unread(first)}, or remove the class."
            )
