"""Parquet tables with image bytes: one file, a folder of them in Hugging Face's layout, or a pattern.

An image's id is the path of its table and the number of its row. Its split is told by a column, by the folder the table lies in, or by
the word with which the table's name begins.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from xmap.stages.config import DataConfig
from xmap.stages.datasets.assemble import assemble
from xmap.stages.datasets.classes.order import in_order
from xmap.stages.datasets.dataset import Dataset, Item, rows_of, unlabelled
from xmap.stages.datasets.places.files import opened
from xmap.stages.datasets.places.place import Cell, Container, Location
from xmap.stages.datasets.sources.containers import Found, find_containers, splits_said
from xmap.stages.datasets.sources.items import refuse_twins, whole_numbers
from xmap.stages.datasets.sources.listings import list_all
from xmap.stages.datasets.sources.table import TableSource
from xmap.stages.datasets.sources.table_files import PARQUET
from xmap.stages.datasets.splits.check import check_splits, require_one_way
from xmap.stages.datasets.splits.names import with_splits
from xmap.store.disk.plain import named
from xmap.store.errors import ArtifactDamaged, EmptyInput, InputError
from xmap.store.memory.notes import Notes

# The form of a listing: raise the number when it changes.
KIND = "cells5"


class ParquetSource:
    """The entry for Parquet files, but those that name image files in a column `path`: these are a table."""

    def matches(self, data: Location) -> bool:
        return bool(find_containers(data, PARQUET))

    def read(self, config: DataConfig, data: Location, name: str, notes: Notes) -> Dataset:
        """The dataset of the tables that `data` names.

        Raises `EmptyInput` without rows, and `InputError`, with the row's number, for what cannot be used.
        """
        tables = find_containers(data, PARQUET)
        listed = list_all(tables, _list, notes, KIND)
        if _is_of_paths(listed):
            return TableSource().read(config, tables[0].where, name, notes)
        items, said = with_splits(whole_numbers(_all_items(data, tables, listed)))
        require_one_way(items, str(data), "rows")
        keys, remarks = _classes([table["names"] for _, table in listed], {item.key for item in items}, str(data))
        return assemble(name, rows_of(items, keys), keys, config, (*check_splits(items), *splits_said(tables), *said, *remarks))

    def read_unlabelled(self, data: Location, name: str, notes: Notes) -> Dataset:
        """The images of the tables that `data` names; no label in them is read. Raises `EmptyInput` and `InputError`, as `read`."""
        tables = find_containers(data, PARQUET)
        listed = list_all(tables, partial(_list, labelled=False), notes, f"{KIND} unlabelled")
        if _is_of_paths(listed):
            return TableSource().read_unlabelled(tables[0].where, name, notes)
        items = [replace(item, split="", group="") for item in _all_items(data, tables, listed)]
        return unlabelled(name, rows_of(items, [""]), ())


def _is_of_paths(listed: Sequence[tuple[Container, Any]]) -> bool:
    """Whether it is one table, without images."""
    return len(listed) == 1 and listed[0][1] is None


def _all_items(data: Location, tables: Sequence[Found], listed: Sequence[tuple[Container, Any]]) -> list[Item]:
    """The images of tables as they were listed. Raises `EmptyInput`, and `InputError` for a table without images."""
    bare = [found.name for found, (_, table) in zip(tables, listed, strict=True) if table is None]
    if bare:
        raise InputError(f"{data}: {named(bare)} holds no images; give tables with image bytes alone, or one of paths.")
    items = [item for found, (container, table) in zip(tables, listed, strict=True) for item in _items(found, container, table)]
    if not items:
        raise EmptyInput(str(data), "rows", "tables without rows")
    refuse_twins(items)
    return items


def _list(found: Found, labelled: bool = True) -> dict[str, Any] | None:
    from xmap.stages.datasets.sources.cells import list_cells

    try:
        with opened(found.where) as file:
            return list_cells(file, str(found.where), labelled)
    except ArtifactDamaged as error:
        raise InputError(f"cannot read the table {found.where}: {error.problem}; give a Parquet file.") from error


def _items(found: Found, container: Container, table: Any) -> list[Item]:
    above = unicodedata.normalize("NFC", found.name)
    items = []
    for number, (group, inside, content, label, split, together) in enumerate(table["rows"]):
        # As wide as any table is long: ids in order are then rows in order, which are read fastest.
        row = f"{number:08}"
        place = Cell(container, row, table["column"], group, inside, content)
        items.append(Item(f"{above}/{row}", place, label, split or found.split, together))
    return items


def _classes(named_by: Sequence[list[str] | None], keys: set[str], place: str) -> tuple[list[str], tuple[str, ...]]:
    """The classes in label order, and a remark on those without images. Raises `InputError` where tables disagree."""
    names = named_by[0]
    if any(other != names for other in named_by):
        raise InputError(f"{place}: the tables differ in their class names; write them with the same ones.")
    if names is None:
        return in_order(keys), ()
    unused = [name for name in names if name not in keys]
    remark = f"{len(unused)} classes without images were left out: {named(unused)}"
    return [*(name for name in names if name in keys), *in_order(keys.difference(names))], (remark,) * bool(unused)
