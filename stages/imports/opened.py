"""From files to `Vectors`: tables with a column of vectors, and `.npy` arrays with what tables tell of their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xmap.stages.imports.asked import AskedRoles
from xmap.stages.imports.listed import ids_of
from xmap.stages.imports.npy import Npy
from xmap.stages.imports.tables import VectorTable
from xmap.stages.imports.vectors import IDS, ROLES, SPLITS, VectorRows, Vectors, at_once, fit, vectors_of
from xmap.store.errors import InputError

VECTORS = "vectors"


@dataclass(frozen=True)
class TablePart:
    """A table of a layout: what it is called there, the split that its place says, and what the ids in it begin with."""

    name: str
    table: VectorTable
    split: str = ""
    prefix: str = ""


@dataclass(frozen=True)
class Only:
    """Which rows of tables hold: those whose `column` is `value`."""

    column: str
    value: str

    def __call__(self, part: Mapping[str, pa.Array]) -> Mapping[str, pa.Array]:
        return {name: column.filter(pc.equal(part[self.column], self.value)) for name, column in part.items()}


def of_tables(parts: Sequence[TablePart], asked: AskedRoles, remedy: str = "", only: Only | None = None) -> Vectors:
    """The vectors in a column of tables, of which all have the columns of the first. Raises `InputError`."""
    first = parts[0].table
    columns = {VECTORS: asked.vectors(first.schema, str(first.path), remedy)}
    columns |= {role: name for role in ROLES if (name := asked.column(role, first.schema, str(first.path)))}
    if any(part.split for part in parts) and not asked.given.get(SPLITS):
        columns.pop(SPLITS, None)
    for part in parts:
        lost = next((name for name in columns.values() if name not in part.table.schema.names), None)
        if lost is not None:
            raise InputError(f"{part.table.path} has no column {lost!r}, which {first.path.name} has; give tables of one kind.")
    return Vectors(
        {part.name: part.table.path for part in parts},
        sum(part.table.count for part in parts),
        partial(_table_rows, parts, columns, only),
        columns,
        unread=f"their {only.column} is not {only.value!r}" if only else "",
    )


def _table_rows(parts: Sequence[TablePart], columns: Mapping[str, str], only: Only | None) -> Iterator[VectorRows]:
    for part in parts:
        place, number = str(part.table.path), 0
        wanted = [*columns.values(), *([only.column] if only else [])]
        for first, batch in part.table.batches(wanted, at_once(part.table.row(columns[VECTORS]))):
            kept = only(batch) if only else batch
            vectors = vectors_of(kept[columns[VECTORS]], place, first)
            told = {role: kept[name] for role, name in columns.items() if role != VECTORS}
            if IDS in told:
                told[IDS] = ids_of(told[IDS], place, first)
            if part.split and SPLITS not in told:
                told[SPLITS] = pa.array([part.split] * len(vectors), pa.string())
            if part.prefix:
                known = told.get(IDS, pa.array([f"{row:08}" for row in range(number, number + len(vectors))], pa.string()))
                told[IDS] = pc.binary_join_element_wise(part.prefix, known, "/")
            number += len(vectors)
            yield VectorRows(vectors, told)


@dataclass(frozen=True)
class Block:
    """An array of a layout: what it is called there, and what is told of its rows by role, from a table beside it if there is one."""

    name: str
    array: Npy
    told: Callable[[], Mapping[str, pa.Array]]
    beside: Mapping[str, Path]


def of_arrays(blocks: Sequence[Block], columns: Mapping[str, str]) -> Vectors:
    """The vectors in `.npy` arrays."""
    files = {name: path for block in blocks for name, path in {block.name: block.array.path, **block.beside}.items()}
    return Vectors(files, sum(len(block.array) for block in blocks), partial(_array_rows, blocks), columns)


def _array_rows(blocks: Sequence[Block]) -> Iterator[VectorRows]:
    for block in blocks:
        told, first = block.told(), 0
        for part in block.array.chunks(at_once(block.array.row)):
            yield VectorRows(
                fit(part, str(block.array.path), first), {role: column.slice(first, len(part)) for role, column in told.items()}
            )
            first += len(part)


def open_vectors(path: Path) -> Npy:
    """A `.npy` matrix of vectors. Raises `InputError`."""
    array = Npy.open(path, 2, "f", "a matrix of floats, one vector a row")
    if not np.prod(array.shape):
        raise InputError(f"{path} has no vectors; give a matrix with one a row.")
    return array
