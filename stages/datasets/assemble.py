"""The last step of every reader: from the items it found to a `Dataset`, with labels, display names and the splits that it found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from xmap.stages.config import DataConfig
from xmap.stages.datasets.classes.labels import refuse_one_class
from xmap.stages.datasets.classes.names_file import Names, read_names
from xmap.stages.datasets.classes.order import said_alike
from xmap.stages.datasets.dataset import Dataset, Item, Sample, order
from xmap.stages.datasets.places.pictures import unread
from xmap.stages.datasets.places.place import location
from xmap.store.errors import InputError


def assemble(
    name: str, items: Sequence[Item], keys: Sequence[str], config: DataConfig, remarks: Sequence[str], names: Sequence[str] = ()
) -> Dataset:
    """The dataset of `items`, whose classes are `keys` in label order, called `names`, unless the names file says otherwise.

    Either all items have a split or none has: `stages.datasets.splits.divide` draws them. Raises `InputError` for a names file that does
    not fit the classes, for a single class, and for one of pictures alone that are not read.
    """
    refuse_one_class(keys)
    _require_readable(items)
    classes = Names(keys, names or keys)
    if config.classes:
        classes = read_names(location(config.classes), classes)
    labels = {key: label for label, key in enumerate(classes.keys)}
    samples = [Sample(item.sample_id, item.place, labels[item.key], item.split, item.group) for item in items]
    samples.sort(key=lambda sample: (order(sample.split), sample.sample_id))
    return Dataset(name, tuple(samples), tuple(classes.names), config.templates, (*remarks, *said_alike(keys), *classes.remarks))


def _require_readable(items: Iterable[Item]) -> None:
    found: dict[str, list[Item]] = {}
    for item in items:
        found.setdefault(item.key, []).append(item)
    for key, inside in found.items():
        if all(unread(item.sample_id) for item in inside):
            first = inside[0].sample_id
            raise InputError(
                f"class {key!r} has {len(inside):,} pictures and none that is read: {first!r}: {unread(first)}, or remove the class."
            )
