"""Tables of other columns, types, lengths and values."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.worlds.odd.manifests import Manifest, Odd, odd_manifest


def odd_tables(odd: Odd, manifest: Manifest) -> None:
    """Tables of other columns, types, lengths and values."""
    paths = sorted(odd.folder.rglob("*.parquet"))
    if not paths:
        return odd_manifest(odd, manifest)
    path, way = odd.draw.choice(paths), odd.draw.choice(sorted(TABLES))
    try:
        table = pq.ParquetFile(path).read()
        name = odd.draw.choice(table.column_names)
        changed = TABLES[way](table, name, odd.draw)
    except (pa.ArrowException, KeyError, IndexError, TypeError, ValueError, OSError):
        return odd_manifest(odd, manifest)
    kept = {key: value for key, value in (table.schema.metadata or {}).items() if key.startswith(b"xmap.")}
    path.unlink()
    pq.write_table(changed.replace_schema_metadata(kept), path, compression="zstd", write_page_checksum=True)
    odd.note(f"{path.name}, column {name}: {way}")
    return None


Change = Callable[[pa.Table, str, random.Random], pa.Table]


def _column(make: Callable[[pa.ChunkedArray, random.Random], Any]) -> Change:
    def change(table: pa.Table, name: str, draw: random.Random) -> pa.Table:
        return table.set_column(table.column_names.index(name), name, make(table[name], draw))

    return change


def _replaced(column: pa.ChunkedArray, draw: random.Random) -> Any:
    """One value, or all of them, by another of the type."""
    options: list[Any] = [None]
    kind = column.type
    if pa.types.is_integer(kind):
        options += [-1, 0, 99, 2 ** (kind.bit_width - 1) - 1, -(2 ** (kind.bit_width - 1))]
    elif pa.types.is_floating(kind):
        options += [float("nan"), float("inf"), -1.0, 1e38, 0.0]
    elif pa.types.is_string(kind):
        options += ["", "x" * 1_000_000, "\x1b[31m", "../../victim/secret", "</script>", "test", "a\nb", "a/1.png"]
    elif pa.types.is_list(kind):
        options += [[], [None], column[0].as_py()[:1] if len(column) and column[0].as_py() else [], [None] * 3]
    elif pa.types.is_fixed_size_list(kind):
        options += [[value] * kind.list_size for value in (float("nan"), 0.0, float("inf"), 1e38)]
    elif pa.types.is_boolean(kind):
        options += [True, False]
    cells = column.to_pylist()
    value, whole = draw.choice(options), draw.random() < 0.4
    for row in range(len(cells)) if whole else draw.sample(range(len(cells)), min(1, len(cells))):
        cells[row] = value
    return pa.array(cells, kind)


def _typed(kind: pa.DataType) -> Change:
    return _column(lambda column, draw: column.cast(kind))


def _narrow(column: pa.ChunkedArray, draw: random.Random) -> Any:
    width = draw.choice((1, 7, 33))
    return pa.array([[1.0] * width] * len(column), pa.list_(pa.float32(), width))


TABLES: Mapping[str, Change] = {
    "values": _column(_replaced),
    "other values": _column(_replaced),
    "yet other values": _column(_replaced),
    "of text": _typed(pa.string()),
    "of wide integers": _typed(pa.int64()),
    "of doubles": _typed(pa.float64()),
    "of dictionaries": _column(lambda column, draw: column.dictionary_encode()),
    "of nothing": _column(lambda column, draw: pa.nulls(len(column))),
    "of lists": _column(lambda column, draw: pa.array([[cell] for cell in column.to_pylist()])),
    "of objects": _column(lambda column, draw: pa.array([{"x": 1}] * len(column))),
    "of vectors": _column(_narrow),
    "without it": lambda table, name, draw: table.drop_columns([name]),
    "renamed": lambda table, name, draw: table.rename_columns(["x" if column == name else column for column in table.column_names]),
    "twice": lambda table, name, draw: table.append_column(name, table[name]),
    "one more": lambda table, name, draw: table.append_column("extra", table[name]),
    "no row": lambda table, name, draw: table.slice(0, 0),
    "a row less": lambda table, name, draw: table.slice(1),
    "rows twice": lambda table, name, draw: pa.concat_tables([table, table]),
    "rows in another order": lambda table, name, draw: table.take(draw.sample(range(len(table)), len(table))),
    "columns in another order": lambda table, name, draw: table.select(draw.sample(table.column_names, len(table.column_names))),
}
