"""A CSV or Parquet table of images: columns `path` and `label`, optionally `split`; every other column is kept.

Relative paths start at the table's own folder. An image's id is its path as written there, normalised (NFC, POSIX).
"""

from __future__ import annotations

import csv
import io
import posixpath
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from stages.config import DataConfig
from stages.datasets.assemble import Item, assemble
from stages.datasets.dataset import SPLITS, Dataset
from stages.datasets.files import as_file, opened
from stages.datasets.labels import check_splits, unfit
from stages.datasets.order import in_order
from stages.datasets.places import Location, Remote, is_of_this_machine, is_url, location
from stages.datasets.remote import look_up
from stages.datasets.split_names import is_split, with_splits
from stages.datasets.splits import named
from store.errors import ArtifactDamaged, EmptyInput, InputError
from store.notes import Notes

CSV, PARQUET = ".csv", ".parquet"
REQUIRED = ("path", "label")

Row = tuple[int, Mapping[str, str]]


class TableSource:
    """The entry for tables of images."""

    def matches(self, data: Location) -> bool:
        return data.suffix.lower() in (CSV, PARQUET) and as_file(data) is not None

    def read(self, config: DataConfig, data: Location, name: str, notes: Notes) -> Dataset:
        """The dataset of the table `data`.

        Raises `EmptyInput` without rows and `InputError`, with the row's number (a CSV's line), for what cannot be used.
        """
        columns, rows = _read_csv(data) if data.suffix.lower() == CSV else _read_parquet(data)
        missing = [column for column in REQUIRED if column not in columns]
        if missing:
            raise InputError(f"{data} has no column {named(missing)} but {', '.join(columns) or 'none at all'}; rename its columns.")
        doubled = [column for column in (*REQUIRED, "split") if list(columns).count(column) > 1]
        if doubled:
            raise InputError(f"{data} has several columns {named(doubled)}; rename all but one.")
        items, said = with_splits(_looked_up(_items(data, rows, "split" in columns)))
        if not items:
            raise EmptyInput(str(data), "rows", "a table without rows")
        return assemble(name, items, in_order({item.key for item in items}), config, (*check_splits(items), *said))


def _read_csv(path: Location) -> tuple[Sequence[str], list[Row]]:
    try:
        with opened(path) as data, io.TextIOWrapper(data, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            rows: list[Row] = []
            for row in reader:
                if None in row or None in row.values():
                    raise InputError(f"{path} row {reader.line_num} has more or fewer values than the header; quote commas inside a value.")
                rows.append((reader.line_num, row))
            return list(reader.fieldnames or ()), rows
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
        raise InputError(f"cannot read the table {path}: {reason}; give a UTF-8 CSV file with a header line.") from error


def _read_parquet(path: Location) -> tuple[Sequence[str], list[Row]]:
    from store.tables import open_foreign

    try:
        with opened(path) as file, open_foreign(file, str(path)) as found:
            table = found.read()
    except ArtifactDamaged as error:
        raise InputError(f"cannot read the table {path}: {error.problem}; give a Parquet file with columns path and label.") from error
    rows: list[Row] = [(number, {key: _text(value) for key, value in row.items()}) for number, row in enumerate(table.to_pylist(), 1)]
    return table.column_names, rows


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _items(path: Location, rows: Iterable[Row], divided: bool) -> list[Item]:
    items: dict[str, tuple[int, Item]] = {}
    for number, row in rows:
        item = _item(path, number, row, divided)
        if item.sample_id in items:
            raise InputError(f"{path} row {number} repeats {item.sample_id!r} of row {items[item.sample_id][0]}; give each image one row.")
        items[item.sample_id] = (number, item)
    return [item for _, item in items.values()]


def _item(path: Location, number: int, row: Mapping[str, str], divided: bool) -> Item:
    for column in REQUIRED:
        text = row[column].strip()
        # A path is bytes to the system, and may be any but this one.
        why = unfit(text) if column == "label" else ""
        if not text or "\0" in text or why:
            raise InputError(f"{path} row {number} has no usable {column} ({row[column]!r:.200}){why}; fill it in or remove the row.")
    split = row["split"].strip() if divided else ""
    if divided and not is_split(split):
        raise InputError(f"{path} row {number} has split {split!r}; write one of {', '.join(SPLITS)}.")
    extra = {column: value for column, value in row.items() if column not in (*REQUIRED, "split")}
    key = unicodedata.normalize("NFC", row["label"].strip())
    return Item(_identity(path, row["path"]), _place(path, number, row["path"]), key, split, extra)


def _place(table: Location, number: int, written: str) -> Location:
    """Where the image of a row is: at a URL, or at a path from the table's folder on.

    A table at a URL may come from anybody: its paths stay in its own bucket or on its host, and it names no files of this machine.
    """
    if is_url(written):
        place = location(written)
        if not isinstance(table, Path) and is_of_this_machine(written):
            raise InputError(f"{table} row {number} has the path {written!r:.200}, which is a file of this machine; give it a remote URL.")
        return place
    if isinstance(table, Path):
        return table.parent / written
    scheme, _, folder = table.parent.url.partition("://")
    inside = posixpath.normpath(f"{folder}/{written}")
    if written.startswith("/") or inside.partition("/")[0] != folder.partition("/")[0]:
        raise InputError(f"{table} row {number} has the path {written!r}, which leads out of the storage; write it below the table.")
    return Remote(f"{scheme}://{inside}")


def _looked_up(items: Sequence[Item]) -> list[Item]:
    """The items, those at URLs with what listings tell of them: an unchanged file is then not read again."""
    remote = {item.place.url: item.place for item in items if isinstance(item.place, Remote)}
    if not remote:
        return list(items)
    known = {place.url: place for place in look_up(list(remote.values()))}
    return [replace(item, place=known[item.place.url]) if isinstance(item.place, Remote) else item for item in items]


def _identity(table: Location, written: str) -> str:
    """The id of a path: relative to the table where it can be, so that moving the whole folder changes nothing."""
    if is_url(written):
        return unicodedata.normalize("NFC", written.removeprefix(f"{table.parent}/"))
    image = Path(written)
    folder = table.parent.resolve() if isinstance(table, Path) else Path()
    inside = image.relative_to(folder) if image.is_relative_to(folder) else image
    return unicodedata.normalize("NFC", posixpath.normpath(inside.as_posix()))
