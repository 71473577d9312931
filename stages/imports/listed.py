"""What files beside the vectors tell of them: labels, ids or splits, brought into the order of the vectors by id, else by row."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xmap.stages.datasets.sources.columns import Roles
from xmap.stages.datasets.sources.table_files import read_table
from xmap.stages.imports.asked import LISTS, NAMES, AskedRoles
from xmap.stages.imports.npy import NPY, Npy
from xmap.stages.imports.tables import VectorTable
from xmap.stages.imports.vectors import IDS, at_once
from xmap.store.disk.plain import named
from xmap.store.errors import InputError

# Rows that are named in a sentence.
SHOWN = 5


@dataclass(frozen=True, eq=False)
class ListedColumn:
    """What the file `place` tells: `values` (R), and `ids` (R) of what it tells them, where it does."""

    place: str
    values: pa.Array
    ids: pa.Array | None = None

    def aligned(self, ids: pa.Array | None, count: int) -> pa.Array:
        """The values in the order of `ids`, those of the vectors; by row where either side has none.

        Raises `InputError` where the ids are not the same ones, each once, and where the counts differ.
        """
        if self.ids is None or ids is None:
            if len(self.values) != count:
                raise InputError(
                    f"{self.place} has {len(self.values):,} rows and there are {count:,} vectors; give as many, or ids on both sides."
                )
            return self.values
        refuse_twice(self.ids, self.place)
        rows = pc.index_in(ids, value_set=self.ids)
        missing, extra = ids.filter(rows.is_null()), self.ids.filter(pc.invert(pc.is_in(self.ids, value_set=ids)))
        wrong = [f"lacks {some_of(missing)}"] * bool(len(missing)) + [f"has {some_of(extra)} that no vector has"] * bool(len(extra))
        if wrong:
            raise InputError(f"{self.place} {' and '.join(wrong)}; give the same ids on both sides.")
        return self.values.take(rows)


def read_listed(path: Path, role: str) -> ListedColumn:
    """What `path` tells as `role`: a `.npy` array, or a column of a table, with ids where it has some. Raises `InputError`."""
    suffix = path.suffix.lower()
    if suffix == NPY:
        return ListedColumn(str(path), npy_column(path))
    if suffix in LISTS:
        return _read_text(path, role)
    table = VectorTable.open(path)
    identifying = _column(table, IDS) if role != IDS else None
    column = _column(table, role, without=identifying)
    if column is None:
        raise InputError(f"{path} has no column {NAMES[role][0]!r} but {named(table.schema.names)}; rename its column of {role}.")
    return ListedColumn(str(path), table.column(column), ids_of(table.column(identifying), str(path)) if identifying else None)


def npy_column(path: Path) -> pa.Array:
    """A `.npy` array of one dimension, of numbers or text. Raises `InputError`."""
    array = Npy.open(path, 1, "iufbU", "one number or text a row")
    parts = [pa.array(part, pa.string() if part.dtype.kind == "U" else None) for part in array.chunks(at_once(array.dtype.itemsize))]
    return pa.chunked_array(parts).combine_chunks() if parts else pa.array([], pa.string())


def ids_of(column: pa.Array, place: str, first: int = 0) -> pa.Array:
    """Ids as texts, of rows from `first` on. Raises `InputError` for a row that has none, or one that cannot be a name."""
    if not (pa.types.is_integer(column.type) or pa.types.is_string(column.type)):
        raise InputError(f"{place}: its ids are {column.type}; give texts or whole numbers, or other ids with --ids.")
    ids = pc.utf8_normalize(column.cast(pa.string()), "NFC")
    odd = pc.or_(pc.match_substring_regex(ids, r"^\s*$|[\x00-\x1f\x7f-\x9f\x{2028}\x{2029}]"), pc.greater(pc.utf8_length(ids), 1000))
    bad = pc.or_kleene(odd, ids.is_null()).to_numpy(zero_copy_only=False).astype(bool)
    if bad.any():
        row, more = int(np.argmax(bad)), f" ({int(bad.sum()):,} rows have such)" * bool(bad.sum() > 1)
        raise InputError(
            f"{place} row {first + row:,} has the id {ids[row].as_py()!r:.80}, which is empty, too long or holds control "
            f"characters{more}; correct it, or choose other ids with --ids."
        )
    return ids


def refuse_twice(ids: pa.Array, place: str) -> None:
    """Raise `InputError` where an id is there twice."""
    counts = pc.value_counts(ids)
    twice = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    if len(twice):
        raise InputError(f"{place} has {some_of(twice)} more than once; give each row an id of its own, as by another column with --ids.")


def some_of(ids: pa.Array) -> str:
    """How many ids, and the first."""
    shown = ", ".join(repr(name) for name in ids[:SHOWN].to_pylist())
    return f"{len(ids):,} {'id' if len(ids) == 1 else 'ids'} ({shown}{', ...' * (len(ids) > SHOWN)})"


def _column(table: VectorTable, role: str, without: str | None = None) -> str | None:
    """The column of a role: one that is called so, else the only other one."""
    found = AskedRoles({}, table.path.parent).column(role, table.schema, str(table.path))
    others = [name for name in table.schema.names if name != without]
    return found if found or role == IDS else others[0] if len(others) == 1 else None


def _read_text(path: Path, role: str) -> ListedColumn:
    told = read_table(path, Roles({IDS: NAMES[IDS], role: NAMES[role]}, ((role,),)))
    columns = {name: pa.array([row[name] for _, row in told.rows], pa.string()) for name in told.columns}
    return ListedColumn(str(path), columns[role], ids_of(columns[IDS], str(path)) if IDS in columns and role != IDS else None)
