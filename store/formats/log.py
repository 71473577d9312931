"""The per-sample logs: what every method thought of every sample, and what the caches hold.

Columns in, columns out: numpy arrays (or lists of strings) of one length, or a scalar for a column that is the same in all
rows. Nothing is built row by row, so a log of a million rows costs a second. NaN never reaches the disk where a column may
be null: a method without text cache has no text affinity, which is not the same as one of zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from xmap.store.disk.files import make_folder
from xmap.store.errors import InputError
from xmap.store.formats.arrays import numbers
from xmap.store.formats.tables import Array, first_line, read_table, write_table

Column = Array | Sequence[Any] | str | int | float | None

NEIGHBOR = pa.struct([("sample_id", pa.string()), ("label", pa.int32()), ("affinity", pa.float32())])

AFFINITY = pa.schema(
    [
        pa.field("run", pa.string(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("seed", pa.int32(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("epoch", pa.int32(), nullable=False),
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("label", pa.int32(), nullable=False),
        pa.field("predicted", pa.int32(), nullable=False),
        pa.field("gamma", pa.float32()),
        pa.field("affinity_image", pa.float32()),
        pa.field("affinity_text", pa.float32()),
        pa.field("difference", pa.float32()),
        pa.field("weight", pa.float32()),
        pa.field("loss", pa.float32()),
        pa.field("margin", pa.float32()),
        pa.field("zero_shot_correct", pa.bool_()),
        pa.field("correct", pa.bool_()),
        pa.field("neighbor_agreement", pa.float32()),
        pa.field("neighbors", pa.list_(NEIGHBOR)),
    ]
)

PREDICTIONS = pa.schema(
    [
        pa.field("run", pa.string(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("seed", pa.int32(), nullable=False),
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("label", pa.int32(), nullable=False),
        pa.field("predicted", pa.int32(), nullable=False),
        pa.field("probability", pa.float32()),
        pa.field("true_probability", pa.float32()),
        pa.field("zero_shot", pa.int32()),
        pa.field("top5", pa.list_(pa.int32())),
        pa.field("top5_probability", pa.list_(pa.float32())),
        pa.field("top5_image", pa.list_(pa.float32())),
        pa.field("top5_text", pa.list_(pa.float32())),
        pa.field("raw_probability", pa.float32()),
        pa.field("raw_true_probability", pa.float32()),
        pa.field("set_size", pa.int32()),
        pa.field("in_set", pa.bool_()),
        pa.field("strangeness", pa.float64()),
        pa.field("encoder_said", pa.list_(pa.int32())),
        pa.field("encoder_share", pa.list_(pa.float32())),
    ]
)
# What only predictions by several encoders have, in the order of these.
OF_ENCODERS = ("encoder_said", "encoder_share")
# What predictions lack that were written before: calibrated probabilities beside those as trained, prediction sets, strangeness.
LATER = ("raw_probability", "raw_true_probability", "set_size", "in_set", "strangeness", *OF_ENCODERS)

OUT_OF_SAMPLE = pa.schema(
    [
        pa.field("run", pa.string(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("seed", pa.int32(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("label", pa.int32(), nullable=False),
        pa.field("label_probability", pa.float32(), nullable=False),
        pa.field("likely", pa.int32(), nullable=False),
        pa.field("likely_probability", pa.float32(), nullable=False),
    ]
)
OUT_OF_SAMPLE_TABLE = "out_of_sample.parquet"

VALUES = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("sample_id", pa.string(), nullable=False),
        pa.field("label", pa.int32(), nullable=False),
        pa.field("class_name", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True)
class NeighborColumn:
    """The nearest cached samples of each query, as the index found them.

    `rows` (B, k) int64 are key rows, -1 where fewer than k were found; `affinities` (B, k) float32; `sample_ids` and
    `labels` describe the M keys.
    """

    rows: Array
    affinities: Array
    sample_ids: Sequence[str]
    labels: Array

    def to_arrow(self) -> pa.ListArray:
        """The column, best neighbour first; without a Python object per neighbour."""
        if self.rows.ndim != 2 or self.rows.shape != self.affinities.shape:
            raise InputError(f"neighbor rows {self.rows.shape} and affinities {self.affinities.shape} must be matrices of one shape.")
        found = self.rows >= 0
        keys = self.rows[found]
        ids = pa.array(self.sample_ids, pa.string()).take(pa.array(keys, pa.int64()))
        labels = pa.array(np.asarray(self.labels)[keys], pa.int32())
        structs = pa.StructArray.from_arrays([ids, labels, _plain(self.affinities[found], pa.float32())], fields=list(NEIGHBOR))
        offsets = np.concatenate([[0], np.cumsum(found.sum(axis=1))]).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), structs, type=pa.list_(NEIGHBOR))


def write_affinity(path: Path, columns: Mapping[str, Column | NeighborColumn], fingerprint: str) -> None:
    """Write an affinity log: one row per sample and epoch.

    A nullable column that is absent or None is null throughout; NaN in one becomes null. `neighbors` is a `NeighborColumn`.
    Raises `InputError` for an unknown, missing or odd-sized column.
    """
    _write(path, columns, AFFINITY, fingerprint)


def write_predictions(path: Path, columns: Mapping[str, Column | NeighborColumn], fingerprint: str) -> None:
    """Write predictions, one row per sample, method and seed.

    `top5` is a (rows, at most 5) array of labels; `top5_probability`, `top5_image` and `top5_text` are what these classes got, of
    the same shape; `encoder_said` and `encoder_share` are (rows, E), and left out where there is one encoder. Raises `InputError`.
    """
    written = pa.schema([field for field in PREDICTIONS if field.name in columns or field.name not in OF_ENCODERS])
    _write(path, columns, written, fingerprint)


def write_out_of_sample(path: Path, columns: Mapping[str, Column], fingerprint: str) -> None:
    """Write how probable the given labels are to what never learned them, one row a sample. Raises `InputError`."""
    _write(path, columns, OUT_OF_SAMPLE, fingerprint)


def write_values(path: Path, sample_ids: Sequence[str], labels: Array, class_names: Sequence[str], fingerprint: str) -> None:
    """Write what each cache row is: its sample, its label, and its class's name out of `class_names` (in label order)."""
    label = np.asarray(labels)
    if len(label) and not 0 <= int(label.min()) <= int(label.max()) < len(class_names):
        raise InputError(f"labels {int(label.min())} to {int(label.max())} do not fit {len(class_names)} class names.")
    names = pa.array(class_names, pa.string()).take(pa.array(label, pa.int64()))
    _write(path, {"row": np.arange(len(label)), "sample_id": sample_ids, "label": label, "class_name": names}, VALUES, fingerprint)


@dataclass(frozen=True)
class Values:
    """The cache rows: `sample_ids` (M strings), `labels` (M,) int32, `class_names` (M strings), in key order."""

    sample_ids: tuple[str, ...]
    labels: Array
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.sample_ids)


def read_values(path: Path) -> Values:
    """Read the cache rows. Raises `ArtifactDamaged`."""
    table = read_table(path, types=VALUES)
    return Values(
        tuple(table["sample_id"].to_pylist()),
        numbers(table["label"]).astype(np.int32),
        tuple(table["class_name"].to_pylist()),
    )


def _write(path: Path, columns: Mapping[str, Any], schema: pa.Schema, fingerprint: str) -> None:
    unknown = sorted(columns.keys() - set(schema.names))
    if unknown:
        raise InputError(f"unknown column {', '.join(unknown)}; {path.name} has {', '.join(schema.names)}.")
    rows = _rows(columns)
    arrays = [_column(columns.get(field.name), field, rows) for field in schema]
    make_folder(path.parent)
    write_table(path, pa.Table.from_arrays(arrays, schema=schema), fingerprint)


def _rows(columns: Mapping[str, Any]) -> int:
    lengths = {
        name: len(value.rows if isinstance(value, NeighborColumn) else value) for name, value in columns.items() if _is_column(value)
    }
    if len(set(lengths.values())) != 1:
        raise InputError(f"columns must have one length, got {lengths or 'only scalars'}.")
    return next(iter(lengths.values()))


def _is_column(value: object) -> bool:
    return not (value is None or isinstance(value, str | int | float | np.generic))


def _column(value: Any, field: pa.Field, rows: int) -> pa.Array:
    """`value` as an Arrow column of the field's type: a scalar repeated, NaN as null where the field may be null."""
    if value is None and not field.nullable:
        raise InputError(f"column {field.name} is missing.")
    try:
        column = _converted(value, field.type, rows)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError) as error:
        raise InputError(f"column {field.name} does not hold {field.type}: {first_line(error)}.") from error
    if column.null_count and not field.nullable:
        raise InputError(f"column {field.name} has {column.null_count} rows without a value; it must be full.")
    return column


def _converted(value: Any, kind: pa.DataType, rows: int) -> pa.Array:
    if isinstance(value, NeighborColumn):
        return value.to_arrow()
    if _is_column(value):
        return _matrix_column(value, kind) if pa.types.is_list(kind) else _plain(value, kind)
    scalar = value.item() if isinstance(value, np.generic) else value
    if scalar is None or scalar != scalar:
        return pa.nulls(rows, kind)
    return pa.repeat(pa.scalar(scalar, kind), rows)


def _plain(value: Any, kind: pa.DataType) -> pa.Array:
    if isinstance(value, pa.Array | pa.ChunkedArray):
        return value.cast(kind)
    floating = isinstance(value, np.ndarray) and value.dtype.kind == "f"
    if floating and value.dtype.itemsize > 4 and pa.types.is_float32(kind):
        value = value.astype(np.float32)
    return pa.array(value, kind, from_pandas=floating or None)


def _matrix_column(value: Any, kind: pa.ListType) -> pa.Array:
    if not isinstance(value, np.ndarray):
        return pa.array(value, kind)
    offsets = np.arange(len(value) + 1, dtype=np.int32) * (value.shape[1] if value.ndim == 2 else 0)
    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()), _plain(np.ascontiguousarray(value).reshape(-1), kind.value_type), type=kind
    )
