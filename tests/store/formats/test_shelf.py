"""Two who add to the packs of one maker: a row is kept once, whoever was first, and nobody clears what another is writing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from xmap.store.artifacts.artifact import Store
from xmap.store.formats.feature_rows import Rows, keys_of
from xmap.store.formats.packs import Packs
from xmap.store.formats.shelf import Shelf

NAME = "tiny-0123456789abcdef"


def rows(*contents: int, value: float = 1.0) -> Rows:
    return Rows(
        [f"{content:064x}" for content in contents], np.zeros(len(contents), np.int16), np.full((len(contents), 3), value, np.float32)
    )


def opened(root: Path) -> Shelf:
    shelf = Shelf(Store(root), Packs(root, NAME), NAME)
    with shelf.lock():
        shelf.open()
    return shelf


def kept(root: Path) -> list[tuple[int, float]]:
    """Every row of every pack: its content and the first number of its feature."""
    tables = [pq.read_table(path) for path in Packs(root, NAME).paths()]
    return sorted((int(row["content"].hex(), 16), row["feature"][0]) for table in tables for row in table.to_pylist())


def test_the_first_to_have_made_a_row_keeps_it(tmp_path: Path) -> None:
    one, other = opened(tmp_path), opened(tmp_path)
    one.add(rows(1, 2))
    one.add(rows(3))
    other.add(rows(2, 3, 4, value=2.0))
    one.add(rows(4, 5, value=3.0))
    assert kept(tmp_path) == [(1, 1.0), (2, 1.0), (3, 1.0), (4, 2.0), (5, 3.0)]


def test_a_pack_of_known_rows_alone_is_not_written(tmp_path: Path) -> None:
    one, other = opened(tmp_path), opened(tmp_path)
    one.add(rows(1, 2))
    other.add(rows(2, 1, value=2.0))
    assert len(Packs(tmp_path, NAME).paths()) == 1


def test_a_pack_that_does_not_read_has_no_rows(tmp_path: Path) -> None:
    one = opened(tmp_path)
    (Packs(tmp_path, NAME).folder / f"{'a' * 64}.parquet").write_bytes(b"cut")
    one.add(rows(1))
    assert Packs(tmp_path, NAME).has(keys_of(rows(1).contents, rows(1).views)).all()


def test_what_killed_writers_left_is_removed_and_what_others_wrote_is_not(tmp_path: Path) -> None:
    one = opened(tmp_path)
    one.add(rows(1))
    left = Packs(tmp_path, NAME).folder / ".x.partial"
    left.touch()
    opened(tmp_path)
    assert not left.exists()
    assert kept(tmp_path) == [(1, 1.0)]
