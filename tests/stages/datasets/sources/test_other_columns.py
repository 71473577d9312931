"""What tables say of images beside where they are: handed on, or refused by the name of the column."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xmap.stages.datasets.sources.other_columns import TableColumns
from xmap.store.errors import InputError

NO_UTF8 = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(np.array([0, 2], np.int32)), pa.py_buffer(b"\xff\xfe")])


@pytest.mark.parametrize(
    "column",
    [
        NO_UTF8,
        pa.array([2**62], pa.timestamp("us")),
        pa.array([2**62], pa.duration("s")),
        pa.array([2**30], pa.date32()),
        pa.array([0], pa.timestamp("us", "Nowhere/Bad")),
        pa.array([[{"when": 2**62}]], pa.list_(pa.struct([("when", pa.timestamp("us"))]))),
    ],
)
def test_values_that_nobody_can_say_are_refused(tmp_path: Path, column: pa.Array) -> None:
    pq.write_table(pa.table({"path": ["a.png"], "odd": column}), tmp_path / "rows.parquet")
    with pytest.raises(InputError, match="its column 'odd'"):
        TableColumns(tmp_path / "rows.parquet", "path")


def test_halves_of_pairs_are_their_escapes(tmp_path: Path) -> None:
    rows = [{"path": "a.png", "x\ud800": "\udfff", "list": ["\ud800"]}, {"path": "b.png", "x\ud800": 1}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = TableColumns(tmp_path / "rows.jsonl", "path").rows(0, 2).to_pydict()
    assert found == {"x\\ud800": ["\\udfff", "1"], "list": ['["\\ud800"]', None]}
