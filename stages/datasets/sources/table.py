"""A table of images: one row an image, with its path, its label and, if it likes, its split and its group.

An image's id is its path as written there, normalised (NFC, POSIX). Other columns are not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from xmap.stages.config import DataConfig
from xmap.stages.datasets.assemble import assemble
from xmap.stages.datasets.classes.labels import NONE, group_of, label_of
from xmap.stages.datasets.classes.order import in_order
from xmap.stages.datasets.dataset import SPLITS, Dataset, Item, rows_of, unlabelled
from xmap.stages.datasets.places.files import as_file, contents, everything_below
from xmap.stages.datasets.places.pictures import IMAGE_SUFFIXES
from xmap.stages.datasets.places.place import Location, Remote
from xmap.stages.datasets.places.remote import look_up
from xmap.stages.datasets.sources.columns import GROUP, LABEL, PATH, SPLIT, UNLABELLED
from xmap.stages.datasets.sources.items import said_of_names, whole_numbers
from xmap.stages.datasets.sources.table_files import TABLES, Table, read_table
from xmap.stages.datasets.sources.table_paths import TablePaths
from xmap.stages.datasets.splits.check import check_splits
from xmap.stages.datasets.splits.names import is_split, with_splits
from xmap.store.errors import EmptyInput, InputError
from xmap.store.memory.notes import Notes

# As Hugging Face calls a table that lies beside its images.
BESIDE = tuple(f"metadata{suffix}" for suffix in TABLES)


class TableSource:
    """The entry for tables of images."""

    def matches(self, data: Location) -> bool:
        return data.suffix.lower() in TABLES and as_file(data) is not None

    def read(self, config: DataConfig, data: Location, name: str, notes: Notes) -> Dataset:
        """The dataset of the table `data`.

        Raises `EmptyInput` without rows and `InputError`, with the row's number (a CSV's line), for what cannot be used.
        """
        table = read_table(data)
        if not table.rows:
            raise EmptyInput(str(data), "rows", "a table without rows")
        paths = TablePaths.of(data, (row[PATH] for _, row in table.rows if isinstance(row[PATH], str) and "\0" not in row[PATH]))
        items, said = with_splits(whole_numbers(_looked_up(_items(data, table, paths))))
        remarks = (*said, *check_splits(items), *said_of_names(items), *table.remarks, *paths.remarks)
        keys = in_order({item.key for item in items})
        return assemble(name, rows_of(items, keys), keys, config, remarks)

    def read_unlabelled(self, data: Location, name: str, notes: Notes) -> Dataset:
        """The images that the table `data` names, each once; no other column is read. Raises `EmptyInput` and `InputError`, as `read`."""
        items, remarks = _unlabelled_items(data, read_table(data, UNLABELLED))
        once = {item.sample_id: item for item in items}
        return unlabelled(name, rows_of(list(once.values()), [""]), remarks)

    def read_rows(self, data: Location, name: str) -> tuple[Dataset, str]:
        """`read_unlabelled` with a sample for each row, in the order of the table; and its column of paths."""
        table = read_table(data, UNLABELLED)
        items, remarks = _unlabelled_items(data, table)
        return Dataset(name, rows_of(items, [""]), (), (), remarks), table.columns[PATH]


class FolderTableSource:
    """The entry for a folder of images with a table of them beside, as Hugging Face has it; class folders are what they are."""

    def matches(self, data: Location) -> bool:
        return isinstance(data, Path) and data.is_dir() and _beside(data) is not None

    def read(self, config: DataConfig, data: Location, name: str, notes: Notes) -> Dataset:
        """The dataset of the table in the folder `data`. Raises what `TableSource` raises."""
        return TableSource().read(config, _beside(data) or data, name, notes)


def _beside(folder: Location) -> Location | None:
    """The table of the images that lie in a folder itself, if there is one."""
    folders, files = contents(folder)
    found = next((file for name in BESIDE for file in files if file.name == name), None)
    if found is None or not any(file.suffix.lower() in IMAGE_SUFFIXES for file in files):
        return None
    inside = (file for inner in folders for file in everything_below(inner))
    return None if any(file.suffix.lower() in IMAGE_SUFFIXES for file in inside) else found


def _unlabelled_items(data: Location, table: Table) -> tuple[list[Item], tuple[str, ...]]:
    """An image for each row, and remarks."""
    if not table.rows:
        raise EmptyInput(str(data), "rows", "a table without rows")
    written = [(number, _path(data, number, row[PATH])) for number, row in table.rows]
    paths = TablePaths.of(data, (path for _, path in written))
    found = (paths.find(number, path) for number, path in written)
    return _looked_up([Item(sample_id, place, "", "") for sample_id, place in found]), (*table.remarks, *paths.remarks)


def _items(data: Location, table: Table, paths: TablePaths) -> list[Item]:
    items: dict[str, tuple[int, Item]] = {}
    bare: list[tuple[int, object]] = []
    divided, grouped = (role in table.columns for role in (SPLIT, GROUP))
    for number, row in table.rows:
        path = _path(data, number, row[PATH])
        key, why = label_of(row[LABEL], path)
        if why == NONE:
            bare.append((number, row[LABEL]))
            continue
        if why:
            raise _unusable(data, number, LABEL, row[LABEL], why)
        sample_id, place = paths.find(number, path)
        if sample_id in items:
            raise InputError(f"{data} row {number} repeats {sample_id!r} of row {items[sample_id][0]}; give each image one row.")
        split = _split(data, number, row[SPLIT]) if divided else ""
        group = _group(data, number, row[GROUP]) if grouped else ""
        items[sample_id] = (number, Item(sample_id, place, key, split, group))
    if bare:
        number, value = bare[0]
        more = f", nor have {len(bare) - 1:,} other rows" * (len(bare) > 1)
        raise _unusable(data, number, LABEL, value, NONE + more)
    return [item for _, item in items.values()]


def _path(data: Location, number: int, value: object) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise _unusable(data, number, PATH, value)
    return value


def _unusable(data: Location, number: int, column: str, value: object, why: str = "") -> InputError:
    return InputError(f"{data} row {number} has no usable {column} ({value!r:.200}){why}; fill it in or remove the row.")


def _split(data: Location, number: int, value: object) -> str:
    split = str(value).strip()
    if not is_split(split):
        raise InputError(f"{data} row {number} has split {value!r:.80}; write one of {', '.join(SPLITS)}.")
    return split


def _group(data: Location, number: int, value: object) -> str:
    group, why = group_of(value)
    if why:
        raise _unusable(data, number, GROUP, value, why)
    return group


def _looked_up(items: Sequence[Item]) -> list[Item]:
    """The items, those at URLs with what listings tell of them: an unchanged file is then not read again."""
    remote: dict[str, Any] = {item.place.url: item.place for item in items if isinstance(item.place, Remote)}
    if not remote:
        return list(items)
    known = {place.url: place for place in look_up(list(remote.values()))}
    return [replace(item, place=known[item.place.url]) if isinstance(item.place, Remote) else item for item in items]
