"""Parquet written while its rows come: equal rows are equal bytes, however they came."""

from __future__ import annotations

import io
import os
from pathlib import Path
from threading import Thread

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xmap.store.errors import InputError
from xmap.store.formats.row_groups import written_rows, written_shards

TABLE = pa.table({"a": list(range(103)), "b": [f"text {row % 7}" for row in range(103)], "c": [[row] * (row % 3) for row in range(103)]})


def parts(size: int) -> list[pa.Table]:
    return [TABLE.slice(start, size) for start in range(0, len(TABLE), size)]


def written(size: int) -> bytes:
    file = io.BytesIO()
    with written_rows(file, TABLE.schema, {"xmap.sets": "é"}, rows=10) as write:
        for part in parts(size):
            write(part)
    return file.getvalue()


def test_the_same_rows_are_the_same_bytes() -> None:
    whole = written(103)
    assert [written(size) for size in (1, 9, 10, 11)] == [whole] * 4
    found = pq.ParquetFile(io.BytesIO(whole))
    assert [found.metadata.row_group(number).num_rows for number in range(found.num_row_groups)] == [10] * 10 + [3]
    assert found.schema_arrow.metadata[b"xmap.sets"].decode() == "é"
    assert found.read().equals(TABLE)


@pytest.mark.parametrize("size", [1, 7, 30, 103])
def test_shards_have_a_fixed_number_of_rows(tmp_path: Path, size: int) -> None:
    with written_shards(tmp_path, "{}.parquet".format, TABLE.schema, {}, rows=5, groups=4) as write:
        for part in parts(size):
            write(part)
    paths = [tmp_path / f"{number}.parquet" for number in range(6)]
    assert sorted(tmp_path.iterdir()) == paths
    assert [len(pq.read_table(path)) for path in paths] == [20] * 5 + [3]
    assert pa.concat_tables(pq.read_table(path) for path in paths).equals(TABLE)


def test_no_rows_are_a_table_of_none(tmp_path: Path) -> None:
    with written_shards(tmp_path, "{}.parquet".format, TABLE.schema, {}):
        pass
    assert pq.read_table(tmp_path / "0.parquet").schema.equals(TABLE.schema)


def cut_off(folder: Path) -> None:
    with written_shards(folder, "{}.parquet".format, TABLE.schema, {}, rows=5, groups=2) as write:
        write(TABLE.slice(0, 17))
        raise ZeroDivisionError


def test_a_shard_that_is_cut_off_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        cut_off(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["0.parquet"]


def test_a_pipe_will_do() -> None:
    reading, writing = os.pipe()
    found: list[bytes] = []
    with open(reading, "rb") as source:
        reader = Thread(target=lambda: found.append(source.read()))
        reader.start()
        with open(writing, "wb") as file, written_rows(file, TABLE.schema, {}) as write:
            write(TABLE)
        reader.join()
    assert pq.read_table(io.BytesIO(found[0])).equals(TABLE)


def test_what_parquet_lacks_is_refused_in_a_sentence() -> None:
    odd = pa.table({"a": pa.array([np.float16(1)]).view(pa.uint16()), "b": pa.nulls(1, pa.month_day_nano_interval())})
    with pytest.raises(InputError, match="Parquet has no such column"), written_rows(io.BytesIO(), odd.schema, {}) as write:
        write(odd)
