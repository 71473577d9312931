"""Parquet tables: equal bytes for equal rows, and damage that is seen when they are read."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xmap.store.errors import ArtifactDamaged, InputError, StoreFull, XmapError
from xmap.store.formats.arrays import vectors_array, vectors_column
from xmap.store.formats.tables import open_foreign, read_footer, read_table, write_table

ROWS, WIDTH = 3000, 16


def table(rows: int = ROWS, dtype: type = np.float32) -> pa.Table:
    draw = np.random.default_rng(7)
    vectors = draw.standard_normal((rows, WIDTH)).astype(dtype)
    return pa.table(
        {"id": [f"sample {row}" for row in range(rows)], "label": np.arange(rows, dtype=np.int32), "v": vectors_column(vectors)}
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("rows", [0, 1, ROWS])
def test_a_table_comes_back_as_it_was(tmp_path: Path, dtype: type, rows: int) -> None:
    written = table(rows, dtype)
    write_table(tmp_path / "a.parquet", written, "f" * 64)
    back = read_table(tmp_path / "a.parquet")
    assert back.equals(written)
    assert vectors_array(back["v"]).dtype == dtype
    np.testing.assert_array_equal(vectors_array(back["v"]), vectors_array(written["v"]))


def test_equal_tables_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_table(tmp_path / name, table(), "f")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_chunks_do_not_change_what_is_read(tmp_path: Path) -> None:
    parts = [table().slice(start, 500) for start in range(0, ROWS, 500)]
    np.testing.assert_array_equal(vectors_array(pa.concat_tables(parts)["v"]), vectors_array(table()["v"]))
    np.testing.assert_array_equal(vectors_array(table().slice(10, 5)["v"]), vectors_array(table()["v"])[10:15])


def test_the_footer_says_what_the_table_belongs_to(tmp_path: Path) -> None:
    write_table(tmp_path / "a", table(1), "abc")
    assert read_footer(tmp_path / "a") == {"xmap.schema_version": "1", "xmap.fingerprint": "abc"}


def test_vectors_are_split_into_byte_streams_and_the_pages_checked(tmp_path: Path) -> None:
    write_table(tmp_path / "a", table(), "f")
    columns = pq.ParquetFile(tmp_path / "a").metadata.row_group(0)
    assert "BYTE_STREAM_SPLIT" in columns.column(2).encodings
    assert {columns.column(number).compression for number in range(3)} == {"ZSTD"}


def test_several_tables_and_some_columns(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_table(tmp_path / name, table(5), "f")
    read = read_table([tmp_path / "a", tmp_path / "b"], ["label", "id"])
    assert read.column_names == ["label", "id"]
    assert len(read) == 10
    with pytest.raises(InputError, match="no table to read"):
        read_table([])


def foreign(path: Path) -> object:
    with path.open("rb") as file, open_foreign(file, "a") as found:
        return found.read()


def test_a_column_that_is_not_there_is_damage(tmp_path: Path) -> None:
    write_table(tmp_path / "a", table(2), "f")
    with pytest.raises(ArtifactDamaged, match="no column feature"):
        read_table(tmp_path / "a", ["id", "feature"])


@pytest.mark.parametrize(
    "error", [pa.lib.ArrowMemoryError("malloc of size 64 failed"), MemoryError(), OSError(12, "Cannot allocate memory")]
)
@pytest.mark.parametrize("way", [read_table, read_footer, foreign])
def test_refused_memory_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, way: Callable[[Path], object]
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise error

    write_table(tmp_path / "a", table(2), "f")
    for name in ("ParquetFile", "read_metadata"):
        monkeypatch.setattr(pq, name, refused)
    with pytest.raises(MemoryError):
        way(tmp_path / "a")


@pytest.mark.parametrize("cut", [0, 4, 0.5, -1])
def test_a_cut_table_is_damage(tmp_path: Path, cut: float) -> None:
    path = tmp_path / "a"
    write_table(path, table(), "f")
    data = path.read_bytes()
    path.write_bytes(data[: int(cut * len(data)) if cut == 0.5 else int(cut)])
    for read in (read_table, read_footer):
        with pytest.raises(ArtifactDamaged):
            read(path)
    with pytest.raises(ArtifactDamaged):
        read_table(tmp_path / "absent")


def pages(path: Path) -> list[range]:
    """Where the column data lies: everything between the magic number and the footer."""
    columns = pq.ParquetFile(path).metadata.row_group(0)
    chunks = [columns.column(number) for number in range(columns.num_columns)]
    starts = [chunk.dictionary_page_offset or chunk.data_page_offset for chunk in chunks]
    return [range(start, start + chunk.total_compressed_size) for start, chunk in zip(starts, chunks, strict=True)]


def test_every_flip_in_the_data_is_seen_by_a_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_table(path, table(), "f")
    data, draw = path.read_bytes(), random.Random(1)  # noqa: S311
    for chunk in pages(path):
        # The first bytes of a chunk are the page header, whose optional statistics no checksum covers.
        for position in draw.sample(range(chunk.start + 64, chunk.stop), 25):
            altered = bytearray(data)
            altered[position] ^= 1 << draw.randrange(8)
            path.write_bytes(altered)
            try:
                assert read_table(path).equals(table()), f"a flip at {position} changed rows unseen"
                raise AssertionError(f"a flip at {position} went unseen")
            except ArtifactDamaged:
                continue


def test_no_flip_anywhere_makes_anything_but_our_errors(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_table(path, table(50), "f")
    data, draw = path.read_bytes(), random.Random(2)  # noqa: S311
    for position in range(0, len(data), max(1, len(data) // 600)):
        altered = bytearray(data)
        altered[position] ^= 1 << draw.randrange(8)
        path.write_bytes(altered)
        for read in (lambda: read_table(path, ["id", "label", "v"]), lambda: read_footer(path)):
            try:
                read()
            except XmapError as error:
                assert "\n" not in str(error)  # noqa: PT017


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path, disk_with_room) -> None:
    write_table(tmp_path / "control", table(200), "f")
    size = (tmp_path / "control").stat().st_size
    for room in range(0, size, size // 37):
        with disk_with_room(room), pytest.raises(StoreFull):
            write_table(tmp_path / "a", table(200), "f")
        assert [path.name for path in tmp_path.iterdir()] == ["control"]
    with disk_with_room(size):
        write_table(tmp_path / "a", table(200), "f")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "control").read_bytes()


# ---- tables that unpack to more than they are


def repeated(text: str, times: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(np.zeros(times, np.int32), [text])


# The arrays of one row group, and how many there are of it.
BOMBS: dict[str, tuple[pa.Array, int]] = {
    "one text for all rows": (repeated("x" * 4000, 200_000), 1),
    "a short text for many rows": (repeated("x" * 100, 1_000_000), 10),
    "one text in each neighbour": (
        pa.ListArray.from_arrays(np.arange(1001, dtype=np.int32), pa.StructArray.from_arrays([repeated("y" * 1_000_000, 1000)], ["id"])), 1
    ),
    "a number a row": (pa.array(np.zeros(4_000_000)), 20),
    "wide vectors of zeros": (vectors_column(np.zeros((1000, 8000), np.float32)), 20),
}  # fmt: skip


@pytest.mark.failure("received folder")
@pytest.mark.parametrize("name", BOMBS)
def test_a_table_that_unpacks_to_far_more_than_it_is_is_refused_before(tmp_path: Path, name: str) -> None:
    column, times = BOMBS[name]
    part, path = pa.table({"x": column}), tmp_path / "bomb.parquet"
    # Without the schema a reader is not told that texts were written as a dictionary.
    with pq.ParquetWriter(path, part.schema, compression="zstd", store_schema="vectors" in name) as writer:
        for _ in range(times):
            writer.write_table(part)
    assert path.stat().st_size < 1_000_000
    with pytest.raises(ArtifactDamaged, match=r"it would unpack from [\d,]+ bytes to [\d,]+;"):
        read_table(path, ["x"])


def test_texts_that_repeat_are_read_as_they_were(tmp_path: Path) -> None:
    ids = pa.array([f"train/{number % 7}.png" for number in range(5000)])
    near = pa.array([[{"sample_id": f"a{number % 3}", "affinity": 0.5}] * (number % 4) for number in range(5000)])
    table = pa.table({"id": ids, "near": near, "none": pa.array([None, "x"] * 2500), "n": np.arange(5000)})
    write_table(tmp_path / "t.parquet", table, "")
    assert read_table(tmp_path / "t.parquet").equals(table)
    assert read_table(tmp_path / "t.parquet", ["near", "n"]).equals(table.select(["near", "n"]))
