"""WebDataset tars: members that share a key are one sample. The key is the name up to the first dot of its last part.

`dog/0007.jpg` with `dog/0007.cls` (a class number or name) or `dog/0007.json` (with class_name, class or label, and split if it
likes). An image's id is the path of its tar and its own name in it, so that neither the order of members nor that of tars matters.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from xmap.stages.config import DataConfig
from xmap.stages.datasets.assemble import assemble
from xmap.stages.datasets.classes.names_file import Names, read_names
from xmap.stages.datasets.classes.order import all_numbers, in_order
from xmap.stages.datasets.dataset import Dataset, Item, rows_of, unlabelled
from xmap.stages.datasets.places.files import as_file, opened
from xmap.stages.datasets.places.pictures import IMAGE_SUFFIXES
from xmap.stages.datasets.places.place import Container, Location, Member
from xmap.stages.datasets.sources.containers import Found, beside, find_containers, splits_said
from xmap.stages.datasets.sources.items import refuse_twins, said_of_names
from xmap.stages.datasets.sources.listings import list_all
from xmap.stages.datasets.sources.table_files import PARQUET
from xmap.stages.datasets.sources.tar_samples import list_tar
from xmap.stages.datasets.splits.check import check_splits, require_one_way
from xmap.stages.datasets.splits.names import with_splits
from xmap.store.disk.plain import named
from xmap.store.errors import EmptyInput, InputError
from xmap.store.memory.notes import Notes

TAR = ".tar"
PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
CLASSNAMES = "classnames.txt"
# The form of a listing: raise the number when it changes.
KIND = "tar4"


class TarSource:
    """The entry for WebDataset tars."""

    def matches(self, data: Location) -> bool:
        return bool(find_containers(data, TAR, *PACKED))

    def read(self, config: DataConfig, data: Location, name: str, notes: Notes) -> Dataset:
        """The dataset of the tars that `data` names.

        Raises `InputError` for tars that `stages.datasets.sources.tar` refuses, for an image without label or of two, and `EmptyInput`.
        """
        tars = _tars(data)
        listed = list_all(tars, _list, notes, KIND)
        items, left_out = _all_items(data, tars, listed)
        items, said = with_splits(items)
        require_one_way(items, str(data), "images")
        keys = in_order({item.key for item in items})
        bare = [key for _, tar in listed for key in tar["bare"]]
        remarks = _said_of(left_out)
        tables = 0 if data.suffix.lower() == TAR else beside(data, PARQUET)
        # Such as img2dataset writes, with a row for each image.
        remarks += [f"{tables} Parquet files beside the tars were left out"] * bool(tables)
        remarks += [f"{len(bare)} keys have a label and no image: {named(bare)}"] * bool(bare)
        classes = _named(data, keys, bool(config.classes))
        remarks += classes.remarks * (not config.classes)
        return assemble(
            name,
            rows_of(items, classes.keys),
            classes.keys,
            config,
            (*said, *check_splits(items), *said_of_names(items), *splits_said(tars), *remarks),
            classes.names,
        )

    def read_unlabelled(self, data: Location, name: str, notes: Notes) -> Dataset:
        """The images of the tars that `data` names; no label in them is read. Raises `EmptyInput` and `InputError`, as `read`."""
        tars = _tars(data)
        listed = list_all(tars, partial(_list, labelled=False), notes, f"{KIND} unlabelled")
        items, left_out = _all_items(data, tars, listed)
        return unlabelled(name, rows_of([replace(item, split="") for item in items], [""]), _said_of(left_out))


def _tars(data: Location) -> list[Found]:
    """The tars that `data` names. Raises `InputError` for compressed ones."""
    tars = find_containers(data, TAR, *PACKED)
    packed = [tar.where for tar in tars if tar.name.lower().endswith(PACKED)]
    if packed:
        raise InputError(f"{packed[0]} is compressed, so no image in it can be reached by itself; unpack it to a .tar, as with `gunzip`.")
    return tars


def _all_items(data: Location, tars: Sequence[Found], listed: Sequence[tuple[Container, Any]]) -> tuple[list[Item], Counter[str]]:
    """The images of tars as they were listed, and what else is in these. Raises `EmptyInput`, and `InputError` for two of one id."""
    items = [item for found, (container, tar) in zip(tars, listed, strict=True) for item in _items(found, container, tar)]
    left_out = sum((Counter(tar["left_out"]) for _, tar in listed), Counter[str]())
    if not items:
        raise EmptyInput(str(data), " ".join(IMAGE_SUFFIXES), _counted(left_out) or "empty tars")
    refuse_twins(items)
    return items, left_out


def _said_of(left_out: Counter[str]) -> list[str]:
    return [f"{left_out.total()} members that are not images were left out: {_counted(left_out)}"] * bool(left_out)


def _named(data: Location, keys: list[str], again: bool) -> Names:
    """Class numbers take their names from a classnames.txt beside the tars, one that fits where --classes names them `again`."""
    folder = data.parent if data.suffix.lower() == TAR else data
    classes = Names(keys, keys)
    found = as_file(folder / CLASSNAMES) if all_numbers(keys) else None
    if not found:
        return classes
    try:
        return read_names(found, classes)
    except InputError:
        if again:
            return classes
        raise


def _items(found: Found, container: Container, tar: Any) -> list[Item]:
    return [
        Item(f"{_nfc(found.name)}/{_nfc(name)}", Member(container, name, offset, size, content), label, split or found.split)
        for name, offset, size, content, label, split in tar["images"]
    ]


def _list(found: Found, labelled: bool = True) -> dict[str, Any]:
    with opened(found.where) as file:
        return list_tar(file, str(found.where), labelled)


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _counted(count: Counter[str]) -> str:
    return ", ".join(f"{number} {suffix}" for suffix, number in sorted(count.items()))
