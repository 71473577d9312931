"""Tables of others with vectors in a column: Parquet, and Arrow's files and streams, read some rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from xmap.stages.datasets.places.files import opened
from xmap.store.errors import ArtifactDamaged, InputError, MemoryRefused, is_of_memory
from xmap.store.formats.tables import UNREADABLE, first_line, open_foreign

PARQUET = ".parquet"
ARROW = (".arrow", ".feather", ".ipc")
TABLES = (PARQUET, *ARROW)
# What an Arrow file begins with; a stream has no mark.
MARK = b"ARROW1"
# Bytes of a column that are in memory at once.
BUFFER = 1 << 20
# Bytes of a text that tells an id, a label or a split: far more than any may have.
LONGEST = 1 << 14
# Bytes of a vector of 2,048 numbers.
WIDE = 1 << 13


@dataclass(frozen=True, eq=False)
class VectorTable:
    """A table in a file: its columns, and how many rows it has."""

    path: Path
    schema: pa.Schema
    count: int

    @classmethod
    def open(cls, path: Path) -> VectorTable:
        """Raises `InputError` where it is no table, and for two columns of one name."""
        with _readable(path) as file:
            schema, count = (_parquet_facts if _is_parquet(path) else _arrow_facts)(file, path)
        twice = next((name for name in schema.names if schema.names.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"{path} has several columns {twice!r}; rename all but one.")
        return cls(path, schema, count)

    def batches(self, columns: Sequence[str], rows: int) -> Iterator[tuple[int, Mapping[str, pa.Array]]]:
        """The given columns in order, so many rows at a time at most, each with the number of its first row.

        Raises `InputError` for what cannot be read.
        """
        first = 0
        with _readable(self.path) as file:
            read = _parquet_batches if _is_parquet(self.path) else _arrow_batches
            for batch in read(file, self, list(dict.fromkeys(columns)), rows):
                # Offsets that lead out of their buffer would be followed.
                batch.validate(full=True)
                for start in range(0, len(batch), rows):
                    part = batch.slice(start, rows)
                    yield first + start, {name: _plain(part.column(name)) for name in part.schema.names}
                first += len(batch)

    def column(self, name: str) -> pa.Array:
        """One whole column. Raises `InputError`."""
        parts = [part[name] for _, part in self.batches([name], 1 << 16)]
        return pa.chunked_array(parts, self.kind(name)).combine_chunks() if parts else pa.array([], self.kind(name))

    def row(self, name: str) -> int:
        """Bytes of a row of a column of vectors, so far as its type tells: else those of a wide one."""
        kind = self.schema.field(name).type
        kind = kind.storage_type if isinstance(kind, pa.ExtensionType) else kind
        return int(kind.list_size * kind.value_type.bit_width // 8) if pa.types.is_fixed_size_list(kind) else WIDE

    def kind(self, name: str) -> pa.DataType:
        """What a column holds, however it is kept: of one with few different values these."""
        found = self.schema.field(name).type
        found = found.value_type if pa.types.is_dictionary(found) else found
        return pa.string() if _is_text(found) else found


def is_vectors(kind: pa.DataType) -> bool:
    """Whether a column holds lists of floats."""
    if isinstance(kind, pa.ExtensionType):
        return is_vectors(kind.storage_type)
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(lists and pa.types.is_floating(kind.value_type))


def _plain(column: pa.Array) -> pa.Array:
    """A column with the text of each row; one long text and a number for each row may be a few bytes in the file."""
    if pa.types.is_dictionary(column.type):
        words = column.dictionary
        if _is_text(words.type) and (pc.max(pc.binary_length(words)).as_py() or 0) > LONGEST:
            raise pa.ArrowInvalid(f"it has a text of more than {LONGEST:,} bytes")
        column = column.dictionary_decode()
    return column.cast(pa.string()) if _is_text(column.type) else column


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == PARQUET


@contextmanager
def _readable(path: Path) -> Iterator[BinaryIO]:
    """An open table. Raises `InputError` for whatever its bytes lead to."""
    with opened(path) as file:
        try:
            yield file
        except ArtifactDamaged as error:
            raise _unusable(path, error.problem) from error
        except UNREADABLE as error:
            raise MemoryRefused(error) if is_of_memory(error) else _unusable(path, first_line(error)) from error


def _unusable(path: Path, problem: str) -> InputError:
    return InputError(f"cannot read the table {path}: {problem}; give a Parquet or Arrow file, or write it again.")


def _parquet_facts(file: BinaryIO, path: Path) -> tuple[pa.Schema, int]:
    with open_foreign(file, str(path)) as table:
        return table.schema_arrow, table.metadata.num_rows


def _parquet_batches(file: BinaryIO, found: VectorTable, columns: list[str], rows: int) -> Iterator[pa.RecordBatch]:
    texts = [name for name in columns if _is_text(found.schema.field(name).type)]
    with open_foreign(file, str(found.path), BUFFER, texts) as table:
        # A name with a dot in it is to pyarrow one inside another.
        wanted = None if any("." in name for name in columns) else columns
        for batch in table.iter_batches(rows, columns=wanted, use_threads=False):
            yield batch.select(columns)


def _arrow_facts(file: BinaryIO, path: Path) -> tuple[pa.Schema, int]:
    with _reader(file) as (schema, batches):
        columns = schema.names[:1]
    with _reader(file, [0] * bool(columns)) as (_, batches):
        return schema, sum(len(batch) for batch in batches)


def _arrow_batches(file: BinaryIO, found: VectorTable, columns: list[str], rows: int) -> Iterator[pa.RecordBatch]:
    with _reader(file) as (schema, _):
        places = sorted(schema.get_field_index(name) for name in columns)
    with _reader(file, places) as (_, batches):
        yield from batches


@contextmanager
def _reader(file: BinaryIO, fields: Sequence[int] = ()) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
    """The schema of an Arrow file or stream, and its batches with the fields in the given places alone; all where none is given."""
    options = pa.ipc.IpcReadOptions(included_fields=list(fields), use_threads=False)
    file.seek(0)
    of_file = file.read(len(MARK)) == MARK
    file.seek(0)
    if of_file:
        with pa.ipc.open_file(file, options=options) as whole:
            yield whole.schema, (whole.get_batch(number) for number in range(whole.num_record_batches))
    else:
        with pa.ipc.open_stream(file, options=options) as stream:
            yield stream.schema, iter(stream)
