"""Columns of numbers as arrays: what pyarrow's own way gives, without pandas."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from xmap.store.formats.arrays import numbers

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("kind", [pa.int32(), pa.int64(), pa.float16(), pa.float32(), pa.float64()])
@pytest.mark.parametrize("chunks", [[], [[]], [[1, 2, 3]], [[1], [2, 3]]])
def test_numbers_are_pyarrows_own(kind: pa.DataType, chunks: list[list[int]]) -> None:
    column = pa.chunked_array([pa.array(np.asarray(chunk, kind.to_pandas_dtype()), kind) for chunk in chunks], kind)
    found, expected = numbers(column), column.to_numpy()
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)
    assert np.array_equal(numbers(column.slice(1)), expected[1:])


def test_holes_are_nan() -> None:
    assert np.array_equal(numbers(pa.chunked_array([[1.0, None]])), [1.0, np.nan], equal_nan=True)


def test_pandas_is_not_imported() -> None:
    script = (
        "import sys, pyarrow as pa\nfrom xmap.store.formats.arrays import numbers\n"
        "held = pa.Array.from_buffers(pa.float64(), 2, [None, pa.py_buffer(bytes(16))])\n"
        "numbers(pa.chunked_array([held], pa.float64()))\nprint('pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.stdout.strip() == "False", done.stdout + done.stderr
