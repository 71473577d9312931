"""What a table says of images beside where they are: columns that nobody reads here, handed on with what is made of the images."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from xmap.stages.datasets.places.columns import Places
from xmap.stages.datasets.places.files import opened
from xmap.stages.datasets.places.place import Cell, Container, Location
from xmap.stages.datasets.sources.columns import UNLABELLED, lacking
from xmap.stages.datasets.sources.csv_text import read_rows, read_text
from xmap.stages.datasets.sources.table_files import CSV, LINES, PARQUET, TSV
from xmap.store.errors import ArtifactDamaged, InputError
from xmap.store.formats.tables import first_line, open_foreign

# Rows whose values are asked for at a time.
FEW = 1 << 12


class OtherColumns(Protocol):
    """Columns of the rows that a pool was read from."""

    def rows(self, start: int, stop: int) -> pa.Table:
        """Those of some rows that follow one another."""


class TableColumns:
    """All columns of the table at `path` but that of the paths, which is called `paths`; those of a CSV are texts."""

    def __init__(self, path: Location, paths: str) -> None:
        found = _spoken(_READERS[PurePosixPath(path.name).suffix.lower()](path), path)
        self._table = found.drop_columns([paths]) if paths in found.column_names else found

    def rows(self, start: int, stop: int) -> pa.Table:
        """Those of some rows that follow one another."""
        return self._table.slice(start, stop - start)


class CellColumns:
    """All columns of Parquet files beside that of the images, which are at `places`; a file at a time is in memory.

    The first file says which columns there are: what another has not, or of another type, is empty in its rows.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self._held: tuple[Container, pa.Table] | None = None
        self._schema: pa.Schema | None = None

    def rows(self, start: int, stop: int) -> pa.Table:
        """Those of some rows that follow one another."""
        if self._schema is None:
            self._schema = self._file(self._cell(0)).schema
        cells = [self._cell(row) for row in range(start, stop)]
        parts, first = [], 0
        for place in range(1, len(cells) + 1):
            if place == len(cells) or cells[place].container != cells[first].container:
                numbers = np.asarray([int(cell.name) for cell in cells[first:place]])
                parts.append(_as(self._file(cells[first]).take(numbers), self._schema))
                first = place
        return pa.concat_tables(parts)

    def _cell(self, row: int) -> Cell:
        place = self._places[row]
        if not isinstance(place, Cell):
            raise TypeError(f"{place} is no cell of a table")
        return place

    def _file(self, cell: Cell) -> pa.Table:
        if self._held is None or self._held[0] != cell.container:
            where = cell.container.where
            self._held = cell.container, _spoken(_parquet(where, cell.column), where)
        return self._held[1]


def _as(table: pa.Table, schema: pa.Schema) -> pa.Table:
    def column(field: pa.Field) -> Any:
        there = field.name in table.column_names and table.schema.field(field.name).type == field.type
        return table[field.name] if there else pa.nulls(len(table), field.type)

    return pa.table([column(field) for field in schema], schema)


def _spoken(table: pa.Table, path: Location) -> pa.Table:
    """The table, each of whose values can be said: Parquet holds texts that are no UTF-8, times of zones that nobody knows, years beyond
    all calendars. Raises `InputError`."""
    for name, column in zip(table.column_names, table.columns, strict=True):
        try:
            column.validate(full=True)
            if pa.types.is_nested(column.type) or pa.types.is_temporal(column.type) or pa.types.is_dictionary(column.type):
                # Few at a time: what they are in Python takes many times the memory.
                for start in range(0, len(column), FEW):
                    column.slice(start, FEW).to_pylist()
        except (pa.ArrowException, ValueError, OverflowError) as error:
            raise InputError(
                f"{path}: values of its column {name!r} cannot be said ({first_line(error)}); leave the column out."
            ) from error
    return table


def _parquet(path: Location, without: str = "") -> pa.Table:
    try:
        with opened(path) as file, open_foreign(file, str(path)) as found:
            names = found.schema_arrow.names
            wanted = [name for name in dict.fromkeys(names) if name != without and names.count(name) == 1]
            return found.read(columns=wanted).select(wanted).replace_schema_metadata()
    except ArtifactDamaged as error:
        raise InputError(f"cannot read the table {path}: {error.problem}; give a Parquet file.") from error


def _csv(path: Location) -> pa.Table:
    with opened(path) as file:
        text, _ = read_text(file.read(), str(path))
    header, rows = read_rows(text, lambda columns: not lacking(columns, UNLABELLED), str(path))
    columns: dict[str, int] = {}
    for place, name in enumerate(header):
        columns.setdefault(name, place)
    return pa.table({name: pa.array([row[place] for _, row in rows], pa.string()) for name, place in columns.items() if name.strip()})


def _lines(path: Location) -> pa.Table:
    with opened(path) as file:
        text, _ = read_text(file.read(), str(path))
    objects = [json.loads(line) for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if line.strip()]
    names = dict.fromkeys(name for found in objects for name in found)
    return pa.table({_unicode(name): _values([found.get(name) for found in objects]) for name in names})


def _values(values: Sequence[Any]) -> pa.Array:
    """Values of one type as they are; others as JSON."""
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):
        texts = (value if isinstance(value, str | None) else json.dumps(value) for value in values)
        return pa.array([text and _unicode(text) for text in texts], pa.string())


def _unicode(text: str) -> str:
    """A text whose halves of pairs, which JSON can say alone, are their escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


_READERS: Mapping[str, Callable[[Location], pa.Table]] = {CSV: _csv, TSV: _csv, PARQUET: _parquet, LINES: _lines}
