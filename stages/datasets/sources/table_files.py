"""The files that tables of images come in, read to rows of path, label, split and group: CSV and its kin, Parquet, JSON lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from xmap.stages.datasets.places.files import opened
from xmap.stages.datasets.places.place import Location
from xmap.stages.datasets.sources.columns import IMAGES, SPLIT, Roles, chosen, lacking, said_of_columns, said_of_unread
from xmap.stages.datasets.sources.csv_text import read_rows, read_text
from xmap.stages.datasets.splits.names import says_splits
from xmap.store.errors import ArtifactDamaged, InputError

CSV, TSV, PARQUET, LINES = ".csv", ".tsv", ".parquet", ".jsonl"
TABLES = (CSV, TSV, PARQUET, LINES)


@dataclass(frozen=True)
class Table:
    """The rows of a table, each with its number (a CSV's line) and its values by role, which columns these are, and remarks."""

    rows: Sequence[tuple[int, Mapping[str, Any]]]
    columns: Mapping[str, str]
    remarks: tuple[str, ...]


def read_table(path: Location, roles: Roles = IMAGES) -> Table:
    """The table in a file, with the columns of `roles`.

    Raises `InputError` for what cannot be read, and for columns that lack or are there twice.
    """
    table = READERS[PurePosixPath(path.name).suffix.lower()](path, roles)
    spoken = {role: column for role, column in table.columns.items() if role != SPLIT or _says_splits(table, column)}
    return Table(table.rows, spoken, (*table.remarks, *said_of_columns(spoken)))


def _says_splits(table: Table, column: str) -> bool:
    return says_splits(column, (row[SPLIT] for _, row in table.rows))


def _read_csv(path: Location, roles: Roles) -> Table:
    with opened(path) as file:
        text, remarks = read_text(file.read(), str(path))
    header, rows = read_rows(text, lambda columns: not lacking(columns, roles), str(path))
    places = chosen(str(path), header, roles)
    picked = [(number, {role: row[place] for role, place in places.items()}) for number, row in rows]
    return Table(picked, {role: header[place] for role, place in places.items()}, (*remarks, *said_of_unread(header)))


def _read_parquet(path: Location, roles: Roles) -> Table:
    from xmap.store.formats.tables import open_foreign

    try:
        with opened(path) as file, open_foreign(file, str(path)) as found:
            names = list(found.schema_arrow.names)
            places = chosen(str(path), names, roles)
            columns = {role: names[place] for role, place in places.items()}
            whole = any("." in column for column in columns.values())
            table = found.read() if whole else found.read(columns=list(columns.values()))
            values = {role: table[column].to_pylist() for role, column in columns.items()}
    except ArtifactDamaged as error:
        raise InputError(f"cannot read the table {path}: {error.problem}; give a Parquet file with columns path and label.") from error
    rows = [(number, dict(zip(values, row, strict=True))) for number, row in enumerate(zip(*values.values(), strict=True), 1)]
    return Table(rows, columns, said_of_unread(names))


def _read_lines(path: Location, roles: Roles) -> Table:
    with opened(path) as file:
        text, remarks = read_text(file.read(), str(path))
    # Not by splitlines: what else it takes for the end of a line may stand in JSON's texts.
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    objects = [(number, _object(path, number, line)) for number, line in enumerate(lines, 1) if line.strip()]
    names = list(dict.fromkeys(name for _, found in objects for name in found))
    columns = {role: names[place] for role, place in chosen(str(path), names, roles).items()}
    return Table(
        [(number, {role: found.get(name) for role, name in columns.items()}) for number, found in objects],
        columns,
        (*remarks, *said_of_unread(names)),
    )


def _object(path: Location, number: int, line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} line {number} is no JSON; write one object a line.") from error
    if not isinstance(found, dict):
        raise InputError(f"{path} line {number} is no JSON object; write one a line, with path and label.")
    return found


READERS: Mapping[str, Callable[[Location, Roles], Table]] = {CSV: _read_csv, TSV: _read_csv, PARQUET: _read_parquet, LINES: _read_lines}
