"""Parquet tables, whole: one of the two modules that write it, and how columns are encoded in both.

Tables are zstd-compressed with page checksums; float32 vector columns are split into byte streams (smaller, as fast to
read) and carry no dictionary. The footer holds the schema version and the fingerprint of what the table belongs to, so that SQL can
see them. Equal tables give equal bytes with the same pyarrow.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xmap.store.disk.files import atomic_file, open_plain
from xmap.store.disk.headers import require_room
from xmap.store.errors import ArtifactDamaged, InputError, MemoryRefused, NotPlain, require_of_file
from xmap.store.formats.arrays import vectors_array

TABLE_SCHEMA_VERSION = 1
# Small enough that a reader of some epochs or samples skips the rest, and that two cores share one file.
ROW_GROUP = 1 << 17
# Numbers of a vector: far more than any encoder gives.
WIDEST = 1 << 20
REMEDY = "run `xmap verify` to see what else is, then rebuild it."

# What pyarrow raises over bytes that are no table; a flipped bit in the footer can also break a name's UTF-8.
UNREADABLE = (pa.ArrowException, OSError, UnicodeDecodeError)

Array = npt.NDArray[Any]


def write_table(path: Path, table: pa.Table, fingerprint: str, labels: Mapping[str, str] | None = None) -> None:
    """Write `table` to `path`, whole or not at all; `labels` go into its footer."""
    with atomic_file(path) as file:
        encode_table(file, table, fingerprint, labels)


def encode_table(file: BinaryIO, table: pa.Table, fingerprint: str, labels: Mapping[str, str] | None = None) -> None:
    """Write `table` into an open file, which need not know where it stands: a pipe will do.

    Raises `InputError` for columns of a type that Parquet lacks.
    """
    if not file.seekable():
        whole = io.BytesIO()
        encode_table(whole, table, fingerprint, labels)
        file.write(whole.getbuffer())
        return
    labelled = table.replace_schema_metadata(labels_of({"xmap.fingerprint": fingerprint, **(labels or {})}))
    with encoding_of(table.schema) as encoding:
        pq.write_table(labelled, file, row_group_size=ROW_GROUP, **encoding)


def labels_of(labels: Mapping[str, str]) -> dict[str, str]:
    """What a table's footer says: the version of tables, and `labels`."""
    return {"xmap.schema_version": str(TABLE_SCHEMA_VERSION), **labels}


@contextmanager
def encoding_of(schema: pa.Schema) -> Iterator[dict[str, Any]]:
    """How columns are encoded, for whoever writes them inside the block. Raises `InputError` for a type that Parquet lacks."""
    # DuckDB reads float16 vectors, but not as split byte streams.
    vectors = [field.name for field in schema if pa.types.is_fixed_size_list(field.type) and pa.types.is_float32(field.type.value_type)]
    plain = [field.name for field in schema if pa.types.is_string(field.type)]
    try:
        yield {
            "compression": "zstd",
            "use_dictionary": plain or False,
            "use_byte_stream_split": [f"{name}.list.element" for name in vectors] or False,
            "write_page_checksum": True,
            "store_schema": True,
        }
    except pa.ArrowNotImplementedError as error:
        raise InputError(f"Parquet has no such column ({first_line(error)}); ask for it as text, with ::VARCHAR.") from error


def read_table(paths: Path | Sequence[Path], columns: Sequence[str] | None = None, types: pa.Schema | None = None) -> pa.Table:
    """Read one table or several of one schema, checksums verified.

    With `types` its columns alone, each of that type and without a hole. Raises `ArtifactDamaged`, and `InputError` for no path.
    """
    several = [paths] if isinstance(paths, Path) else list(paths)
    tables = [_read(path, columns) if types is None else _typed(path, _read(path, types.names), types) for path in several]
    return _joined(several, tables)


def read_vectors(paths: Path | Sequence[Path], types: pa.Schema, name: str = "feature") -> tuple[pa.Table, Array]:
    """Read tables of `types` and one more column, of vectors; these also as an array (rows, C). Raises `ArtifactDamaged`."""
    several = [paths] if isinstance(paths, Path) else list(paths)
    tables = [_typed(path, _read(path, [*types.names, name]), types) for path in several]
    for path, table in zip(several, tables, strict=True):
        _require_vectors(path, table[name])
    table = _joined(several, tables)
    return table, _vectors(several[0], table[name])


def vector_batches(path: Path, types: pa.Schema, rows: int, name: str = "feature") -> Iterator[tuple[pa.Table, Array]]:
    """`read_vectors` of one table, so many rows at a time. Raises `ArtifactDamaged`."""
    require_columns(path, types, name)
    with open_plain(path) as file, open_foreign(file, str(path)) as table:
        for batch in table.iter_batches(rows, columns=[*types.names, name]):
            part = _typed(path, pa.Table.from_batches([batch]).select([*types.names, name]), types)
            yield part, _vectors(path, part[name])


def read_footer(path: Path) -> Mapping[str, str]:
    """The footer's key-value metadata. Raises `ArtifactDamaged`."""
    try:
        with open_plain(path) as file:
            return _labels(path, pq.read_metadata(file).metadata)
    except UNREADABLE as error:
        raise _unreadable(path, error) from error


def read_schema(path: Path) -> pa.Schema:
    """The columns of a table by its footer. Raises `ArtifactDamaged`."""
    try:
        with open_plain(path) as file:
            return pq.read_schema(file)
    except UNREADABLE as error:
        raise _unreadable(path, error) from error


def _labels(path: Path, metadata: Mapping[bytes, bytes] | None) -> Mapping[str, str]:
    try:
        return {key.decode(): value.decode() for key, value in (metadata or {}).items() if key.startswith(b"xmap.")}
    except UnicodeDecodeError as error:
        raise _unreadable(path, error) from error


def require_columns(path: Path, types: pa.Schema, vectors: str = "") -> Mapping[str, str]:
    """The labels of a table's footer, of which nothing else is read.

    Raises `ArtifactDamaged` where the table has no columns of these types, or none of vectors called so.
    """
    schema = read_schema(path)
    for field in types:
        places = schema.get_all_field_indices(field.name)
        if len(places) != 1 or schema.field(places[0]).type != field.type:
            raise ArtifactDamaged(path, f"it has no one column {field.name} of {field.type}", REMEDY)
    if vectors:
        kinds = [schema.field(place).type for place in schema.get_all_field_indices(vectors)]
        if len(kinds) != 1 or not _is_vectors(kinds[0]):
            raise ArtifactDamaged(path, f"it has no one column {vectors} of vectors", REMEDY)
    return _labels(path, schema.metadata)


@contextmanager
def open_foreign(file: BinaryIO, name: str, buffer: int = 0, texts: Sequence[str] = ()) -> Iterator[Any]:
    """A Parquet file of others, as pyarrow's `ParquetFile`, to be read a row group at a time, or so many bytes of a column.

    Columns of `texts` come with each text once, and numbers. Raises `ArtifactDamaged`.
    """
    try:
        # What is read ahead of time stays until the end, and would be the whole file.
        read: dict[str, Any] = {"buffer_size": buffer, "pre_buffer": not buffer, "read_dictionary": list(texts)}
        with pq.ParquetFile(file, page_checksum_verification=True, **read) as table:
            yield table
    except UNREADABLE as error:
        raise _unreadable(name, error, "write it again.") from error


def _read(path: Path, columns: Sequence[str] | None) -> pa.Table:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            footer, schema = file.metadata, file.schema_arrow
        if len(set(schema.names)) < len(schema.names):
            raise ArtifactDamaged(path, "it has two columns of one name", REMEDY)
        chosen = [field for field in schema if columns is None or field.name in columns]
        needed = _declared_bytes(footer, chosen)
        require_room(path, needed)
        leaves = [footer.schema.column(place) for place in range(footer.num_columns)]
        texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
        # One long text and a number for each row may be a few bytes on disk, and are as few here until it is known what they spell.
        with pq.ParquetFile(path, metadata=footer, page_checksum_verification=True, read_dictionary=texts) as file:
            table: pa.Table = file.read(columns=list(columns) if columns is not None else None)
        names = set(table.column_names)
        require_room(path, needed + sum(_spelled(chunk) for column in table.columns for chunk in column.chunks))
        table = table.cast(pa.schema([schema.field(name) for name in table.column_names], schema.metadata))
    except UNREADABLE as error:
        raise _unreadable(path, error) from error
    if len(names) < len(table.column_names):
        raise ArtifactDamaged(path, "it has a column twice", REMEDY)
    # pyarrow leaves out a column that is not there.
    absent = [name for name in columns or () if name not in names]
    if absent:
        raise ArtifactDamaged(path, f"it has no column {', '.join(absent)}", REMEDY)
    return table


def _declared_bytes(footer: Any, fields: Sequence[pa.Field]) -> int:
    """What the columns take in memory by what the footer says, each text counted once and of each list one value.

    The facts of single columns stay untouched: where they are damaged, asking for them ends the process.
    """
    unpacked = sum(footer.row_group(number).total_byte_size for number in range(footer.num_row_groups))
    return int(max(unpacked, footer.num_rows * sum(_row_bytes(field.type) for field in fields)))


def _row_bytes(kind: pa.DataType) -> int:
    if pa.types.is_struct(kind):
        return sum(_row_bytes(field.type) for field in kind)
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size) * _row_bytes(kind.value_type)
    if pa.types.is_list(kind):
        return 4 + _row_bytes(kind.value_type)
    if pa.types.is_fixed_size_binary(kind):
        return int(kind.byte_width)
    # A text counts by its place; what it spells is known later.
    return max(1, int(kind.bit_width) // 8) if pa.types.is_primitive(kind) else 4


def _spelled(array: pa.Array) -> int:
    """Bytes that the texts of an array take once each row spells its own."""
    if pa.types.is_dictionary(array.type):
        return int(pc.sum(pc.binary_length(array.dictionary).take(array.indices)).as_py() or 0)
    if pa.types.is_struct(array.type):
        return sum(_spelled(array.field(place)) for place in range(array.type.num_fields))
    return _spelled(array.flatten()) if pa.types.is_list(array.type) or pa.types.is_fixed_size_list(array.type) else 0


def _joined(paths: Sequence[Path], tables: Sequence[pa.Table]) -> pa.Table:
    if not tables:
        raise InputError("there is no table to read: the artifact has no file of this split; run `xmap status` to see what there is.")
    for path, table in zip(paths, tables, strict=True):
        if not table.schema.equals(tables[0].schema):
            raise ArtifactDamaged(path, f"its columns are not those of {paths[0].name}", REMEDY)
    return pa.concat_tables(tables)


def _typed(path: Path, table: pa.Table, types: pa.Schema) -> pa.Table:
    """`table`, if its columns are what they should be. An artifact may come from anybody."""
    for field in types:
        column = table[field.name]
        if column.type != field.type:
            raise ArtifactDamaged(path, f"its column {field.name} is {column.type}, not {field.type}", REMEDY)
        if column.null_count:
            raise ArtifactDamaged(path, f"its column {field.name} has rows without a value", REMEDY)
    return table


def _require_vectors(path: Path, column: pa.ChunkedArray) -> None:
    kind = column.type
    if not _is_vectors(kind):
        raise ArtifactDamaged(path, f"its column of vectors is {kind}", REMEDY)
    if column.null_count or any(chunk.flatten().null_count for chunk in column.chunks):
        raise ArtifactDamaged(path, "its column of vectors has rows without a value", REMEDY)


def _vectors(path: Path, column: pa.ChunkedArray) -> Array:
    """A column of vectors as an array, if it is one of finite numbers."""
    _require_vectors(path, column)
    vectors = vectors_array(column)
    # One pass, and no second array: the sum of what is not finite is not finite.
    if not np.isfinite(vectors.sum(dtype=np.float64)):
        raise ArtifactDamaged(path, "its column of vectors holds numbers that are not finite", REMEDY)
    return vectors


def _is_vectors(kind: pa.DataType) -> bool:
    """Whether a type is of vectors of one width, not too wide to hold one."""
    return bool(pa.types.is_fixed_size_list(kind) and kind.value_type in (pa.float32(), pa.float16()) and 0 < kind.list_size < WIDEST)


def _unreadable(path: Path | str, error: Exception, remedy: str = REMEDY) -> Exception:
    """What pyarrow's error means: damage, or a machine that gives it no memory or threads."""
    require_of_file(path, error)
    if "launch worker thread" in str(error):
        return MemoryRefused(error)
    return ArtifactDamaged(path, first_line(error), remedy)


def first_line(error: Exception) -> str:
    """The first line of a foreign error's text, or its type where it has none; of ours, what is wrong."""
    return error.problem if isinstance(error, NotPlain) else next(iter(str(error).strip().splitlines()), type(error).__name__)
