"""Columns of tables as arrays, and back, without copying where that can be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def vectors_column(vectors: npt.NDArray[Any]) -> pa.FixedSizeListArray:
    """A (rows, C) float32 or float16 array as a fixed-size-list column, without copying."""
    flat = pa.array(np.ascontiguousarray(vectors).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])


def side_by_side(parts: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
    """The rows of one thing by several encoders (rows, C_e) as wide unit rows (rows, sum of C_e): each part of one length.

    The cosine of two wide rows is the mean of their parts' cosines.
    """
    wide = np.empty((len(parts[0]), sum(part.shape[1] for part in parts)), np.float32)
    start = 0
    for part in parts:
        lengths = np.linalg.norm(part.astype(np.float64), axis=1, keepdims=True).clip(min=1e-12)
        wide[:, start : start + part.shape[1]] = part / (lengths * np.sqrt(len(parts)))
        start += part.shape[1]
    return wide


def vectors_array(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """A fixed-size-list column as a (rows, C) array of its own dtype."""
    width = column.type.list_size
    parts = [_numbers(chunk.flatten()).reshape(-1, width) for chunk in column.chunks]
    return np.concatenate(parts) if parts else _numbers(pa.array([], column.type.value_type)).reshape(0, width)


def numbers(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """A column of numbers as a (rows,) array of its own dtype; holes are NaN."""
    parts = [_numbers(chunk) for chunk in column.chunks]
    return np.concatenate(parts) if parts else _numbers(pa.array([], column.type))


def _numbers(values: pa.Array) -> npt.NDArray[Any]:
    # Pyarrow's own way imports pandas where it is installed, which takes longer than a small table.
    found: npt.NDArray[Any] = values.to_numpy(zero_copy_only=False) if values.null_count else np.from_dlpack(values)
    return found
