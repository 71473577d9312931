"""Parquet that is written while its rows come: row groups and shards of fixed sizes, however many rows arrive at a time.

So the same rows give the same bytes, and what waits in memory is one row group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from xmap.store.disk.files import atomic_file
from xmap.store.formats.tables import encoding_of, labels_of

# Rows of a row group, and row groups of a shard.
ROWS, GROUPS = 1 << 14, 4

Write = Callable[[pa.Table], None]


class Cut:
    """Hands on rows `size` at a time; what is left when they end is handed on by `finish`."""

    def __init__(self, size: int, write: Write) -> None:
        self._size, self._write, self._waiting, self._rows = size, write, list[pa.Table](), 0

    def add(self, table: pa.Table) -> None:
        self._waiting.append(table)
        self._rows += len(table)
        if self._rows < self._size:
            return
        whole = pa.concat_tables(self._waiting)
        full = len(whole) - len(whole) % self._size
        for start in range(0, full, self._size):
            self._write(whole.slice(start, self._size).combine_chunks())
        self._waiting, self._rows = [whole.slice(full)], len(whole) - full

    def finish(self) -> None:
        if self._rows:
            self._write(pa.concat_tables(self._waiting).combine_chunks())
        self._waiting, self._rows = [], 0


@contextmanager
def written_rows(file: BinaryIO, schema: pa.Schema, labels: Mapping[str, str], rows: int = ROWS) -> Iterator[Write]:
    """A function that writes tables of `schema` into an open file, of which it need not be known where it stands.

    `labels` go into the footer. Raises `InputError` for columns of a type that Parquet lacks.
    """
    with _writer(file, schema, labels) as writer:
        cut = Cut(rows, writer.write_table)
        yield cut.add
        cut.finish()


@contextmanager
def written_shards(
    folder: Path, name_of: Callable[[int], str], schema: pa.Schema, labels: Mapping[str, str], rows: int = ROWS, groups: int = GROUPS
) -> Iterator[Write]:
    """A function that writes tables of `schema` as shards of `rows` times `groups` rows into `folder`, each whole or not at all.

    Without any row there is one shard, which has the columns.
    """
    shards = _Shards(folder, name_of, schema, labels, groups)
    with shards.open:
        cut = Cut(rows, shards.write)
        yield cut.add
        cut.finish()
        if not shards.written:
            shards.write(schema.empty_table())


class _Shards:
    """The shard that is being written, which ends with its last row group."""

    def __init__(self, folder: Path, name_of: Callable[[int], str], schema: pa.Schema, labels: Mapping[str, str], groups: int) -> None:
        self._folder, self._name_of, self._schema, self._labels, self._groups = folder, name_of, schema, labels, groups
        self.open, self.written = ExitStack(), 0

    def write(self, group: pa.Table) -> None:
        if self.written % self._groups == 0:
            self.open.close()
            file = self.open.enter_context(atomic_file(self._folder / self._name_of(self.written // self._groups)))
            self._writer = self.open.enter_context(_writer(file, self._schema, self._labels))
        self._writer.write_table(group)
        self.written += 1


@contextmanager
def _writer(file: BinaryIO, schema: pa.Schema, labels: Mapping[str, str]) -> Iterator[pq.ParquetWriter]:
    with encoding_of(schema) as encoding, pq.ParquetWriter(file, schema.with_metadata(labels_of(labels)), **encoding) as writer:
        yield writer
