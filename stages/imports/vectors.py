"""The one shape every layout of vectors is brought into: rows that come in batches, and what is told of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from xmap.store.errors import InputError
from xmap.store.formats.tables import WIDEST, Array

# What is told of a row, beside its vector.
LABELS, IDS, SPLITS = "labels", "ids", "splits"
ROLES = (LABELS, IDS, SPLITS)
# Rows that are read at a time at most, and bytes.
ROWS, BYTES = 1 << 13, 16 << 20
# Below this length a vector has no direction: it is divided by this at least.
SHORTEST = 1e-12


@dataclass(frozen=True, eq=False)
class VectorRows:
    """Some rows in order: `vectors` (B, C) float16 or float32, and by role what the same file tells of each (B)."""

    vectors: Array
    told: Mapping[str, pa.Array]

    def __len__(self) -> int:
        return len(self.vectors)


@dataclass(frozen=True, eq=False)
class Vectors:
    """What a layout holds.

    `files` are what it is read from, `count` is how many rows these have; `batches` reads them all, each time it is called, and checks
    them. `columns` says by role what was chosen, `names` are class names by number where the layout has some, and `hollow` whether its
    label -1 says that an image has none. `unread` says why batches have fewer rows than the files.
    """

    files: Mapping[str, Path]
    count: int
    batches: Callable[[], Iterator[VectorRows]]
    columns: Mapping[str, str]
    names: Sequence[str] | None = None
    hollow: bool = False
    unread: str = ""


def at_once(row: int) -> int:
    """How many rows of so many bytes are read at a time."""
    return max(1, min(ROWS, BYTES // max(1, row)))


def vectors_of(column: pa.Array, place: str, first: int) -> Array:
    """The vectors (B, C) of a column of lists of floats whose first row is `first` of `place`. Raises `InputError`, as `fit`."""
    while isinstance(column.type, pa.ExtensionType):
        column = column.storage
    if column.null_count:
        raise InputError(f"{place} row {first + _first(column.is_null().to_numpy(False)):,} has no vector; fill it in, or leave it out.")
    if pa.types.is_fixed_size_list(column.type):
        width = column.type.list_size
    else:
        widths = np.diff(column.offsets.to_numpy())
        width = int(widths[0]) if len(widths) else 1
        if (widths != width).any():
            row = _first(widths != width)
            raise InputError(
                f"{place} row {first + row:,} has a vector of {widths[row]:,} numbers, others have {width:,}; make them alike."
            )
    if not 0 < width < WIDEST:
        raise InputError(f"{place} has vectors of {width:,} numbers; give vectors of one encoder.")
    values = column.flatten()
    if values.null_count:
        row = _first(values.is_null().to_numpy(False)) // width
        raise InputError(f"{place} row {first + row:,} has a vector with a number missing; fill it in, or leave it out.")
    return fit(values.to_numpy(zero_copy_only=False).reshape(-1, width), place, first)


def fit(vectors: Array, place: str, first: int = 0) -> Array:
    """Vectors (B, C) of any floats as float16 or float32, if each has a direction in float32.

    Raises `InputError` with the number of the first row that has none, `first` being that of the first of these.
    """
    with np.errstate(over="ignore"):
        kept = vectors if vectors.dtype in (np.float16, np.float32) else vectors.astype(np.float32)
        lengths = np.sqrt(np.einsum("rc,rc->r", kept, kept, dtype=np.float32, casting="unsafe"))
    bad = ~np.isfinite(kept).all(axis=1)
    if bad.any():
        row = _first(bad)
        what = "too large for float32" if np.isfinite(vectors[row]).all() else "not finite"
        raise InputError(f"{place} row {first + row:,} holds numbers that are {what}; compute it again, or leave it out.")
    lost = (lengths < SHORTEST) | ~np.isfinite(lengths)
    if lost.any():
        row = _first(lost)
        raise InputError(
            f"{place} row {first + row:,} is a vector of length 0, or of one that float32 cannot hold; compute it again, or leave it out."
        )
    return np.ascontiguousarray(kept)


def _first(flags: Array) -> int:
    return int(np.argmax(flags))
