"""What is known of vectors before anything is written: every one was read and is sound, and each row has its id, label and split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from blake3 import blake3

from xmap.stages.config import DataConfig
from xmap.stages.imports.asked import AskedRoles
from xmap.stages.imports.classes import Classes, Known, classes_of, unlabelled
from xmap.stages.imports.divide import drawn_splits, told_splits
from xmap.stages.imports.listed import ids_of, read_listed, refuse_twice
from xmap.stages.imports.vectors import IDS, LABELS, SPLITS, VectorRows, Vectors
from xmap.stages.workplace.progress import Progress
from xmap.store.errors import InputError
from xmap.store.formats.tables import Array
from xmap.store.memory.hashes import DIGEST


@dataclass(frozen=True, eq=False)
class Surveyed:
    """What was told of all rows (R) by role, and of the vectors their `width`, `dtype` and `digests` (R,)."""

    told: Mapping[str, pa.Array]
    width: int
    dtype: np.dtype[np.generic]
    digests: Array

    def __len__(self) -> int:
        return len(self.digests)


@dataclass(frozen=True, eq=False)
class Settled:
    """What becomes of each row: `ids` (R), `splits` (R,) int8 as `order` numbers them, -1 of the pool, and its class.

    `drawn` says by what splits were drawn that nobody told; empty where they were told.
    """

    ids: pa.Array
    classes: Classes
    splits: Array
    drawn: Mapping[str, int | float]
    remarks: tuple[str, ...]


def survey(source: Vectors, place: str, progress: Progress) -> Surveyed:
    """Read everything once. Raises `InputError` for vectors that cannot be used, and where they are not of one width."""
    told: dict[str, list[pa.Array]] = {}
    digests, widths, kinds = bytearray(), set[int](), set[np.dtype[np.generic]]()
    for rows in source.batches():
        for role, column in rows.told.items():
            told.setdefault(role, []).append(column)
        digests += digests_of(rows)
        widths.add(rows.vectors.shape[1])
        kinds.add(rows.vectors.dtype)
        if len(widths) > 1:
            raise InputError(f"{place} has vectors of width {' and '.join(map(str, sorted(widths)))}; take all from one encoder.")
        progress.advance(len(rows))
    if not widths:
        raise InputError(f"{place} has no rows; name files that hold vectors.")
    columns = {role: _joined(parts, role, place) for role, parts in told.items()}
    return Surveyed(columns, widths.pop(), kinds.pop() if len(kinds) == 1 else np.dtype(np.float32), np.frombuffer(digests, DIGEST))


def digests_of(rows: VectorRows) -> bytes:
    """The blake3 of the bytes of each vector, one after the other."""
    data, size = memoryview(rows.vectors.tobytes()), rows.vectors.shape[1] * rows.vectors.itemsize
    return b"".join(blake3(data[start : start + size]).digest() for start in range(0, len(data), size))


def settle(found: Surveyed, source: Vectors, asked: AskedRoles, known: Known, place: str, config: DataConfig) -> Settled:
    """Ids, classes and splits of all rows, from the columns of the layout and from files beside it. Raises `InputError`."""
    ids = _ids(found, asked, place)
    labels, splits = (_column(found, asked, role, ids) for role in (LABELS, SPLITS))
    classes = unlabelled(len(found)) if labels is None else classes_of(labels, _place(asked, LABELS, place), known)
    named = ids if ids is not None else pa.array([f"{row:08}" for row in range(len(found))], pa.string())
    refuse_twice(named, _place(asked, IDS, place))
    told, remarks = None, classes.remarks
    if not classes.names:
        return Settled(named, classes, classes.labels.astype(np.int8), {}, remarks)
    if splits is not None:
        called = source.columns.get(SPLITS, "") if not asked.given.get(SPLITS) else ""
        told, said = told_splits(splits, classes.labels, classes.names, _place(asked, SPLITS, place), called)
        remarks = (*remarks, *said)
    if told is not None:
        return Settled(named, classes, told, {}, remarks)
    drawn, said = drawn_splits(found.digests, classes.labels, classes.names, config)
    by = {"split_seed": config.split_seed, "val_share": config.val_share, "test_share": config.test_share}
    return Settled(named, classes, drawn, by, (*remarks, *said))


def _ids(found: Surveyed, asked: AskedRoles, place: str) -> pa.Array | None:
    path = asked.file(IDS)
    if path is None:
        return found.told.get(IDS)
    return ids_of(read_listed(path, IDS).aligned(None, len(found)), str(path))


def _column(found: Surveyed, asked: AskedRoles, role: str, ids: pa.Array | None) -> pa.Array | None:
    path = asked.file(role)
    return found.told.get(role) if path is None else read_listed(path, role).aligned(ids, len(found))


def _place(asked: AskedRoles, role: str, place: str) -> str:
    return str(asked.file(role) or place)


def _joined(parts: list[pa.Array], role: str, place: str) -> pa.Array:
    try:
        return pa.chunked_array(parts).combine_chunks()
    except pa.ArrowException as error:
        kinds = sorted({str(part.type) for part in parts})
        raise InputError(f"{place}: the tables have {role} of different kinds ({', '.join(kinds)[:200]}); write them alike.") from error
