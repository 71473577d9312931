"""SQL over the store: the only module that imports duckdb.

`connect` opens an in-memory database whose views read exactly the files that manifests name, then takes its hands off the
machine: no other file, no extension, no setting, and nothing but queries. Three things DuckDB alone does not give, each
found by trying: a path it may read it may also *write* (so `WITH x AS (COPY ... TO file)`, which counts as a SELECT, could
overwrite an artifact), `query('...')` runs SQL hidden in a string, and a name that is no table is looked up among the
caller's Python variables. So a statement's parse tree is checked before it runs, against lists of what is allowed.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.removed import explained
from xmap.store.artifacts.root import store_root
from xmap.store.disk.memory_limit import memory_bytes
from xmap.store.errors import ArtifactDamaged, ArtifactRemoved, QueryError, XmapError
from xmap.store.sql.columns import VIEWS, View
from xmap.store.sql.packed import PACKED, Packed
from xmap.store.sql.questions import QUESTIONS
from xmap.store.sql.selects import definitions, lacking, literal, pattern
from xmap.store.sql.views import Sources, sources

# Nodes of a parse tree that only read, and the table functions that read no file and run no SQL.
READING_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE", "STATEMENT_NODE"})
TABLE_FUNCTIONS = frozenset({"unnest", "range", "generate_series", "repeat", "json_each", "json_tree", "histogram", "histogram_values"})
ONLY_QUERIES = "only one SELECT, WITH, VALUES, FROM, DESCRIBE, SUMMARIZE, SHOW or EXPLAIN of one is allowed"
NESTED = "the query is nested too deeply."
NARROWER = "ask for less, with a WHERE, a LIMIT or fewer columns"
MEMORY, ANSWER = 4 << 30, 1 << 30
# Rows that are handed over at a time.
ROWS = 1 << 13

_EXPLAIN = re.compile(r"\s*explain\s+(?:analyze\s+|\((?:\s*(?:analyze|format\s+\w+)\s*,?)+\)\s*)?", re.IGNORECASE)
_ARROW = {"VARCHAR": pa.string(), "INTEGER": pa.int32(), "BIGINT": pa.int64(), "DOUBLE": pa.float64()}
_FILES: Mapping[str, str] = {
    "file": "VARCHAR",
    "origin": "INTEGER",
    "artifact": "VARCHAR",
    "dataset": "VARCHAR",
    "plain": "VARCHAR",
    "augmented": "VARCHAR",
}
_PACKS: Mapping[str, str] = {"file": "VARCHAR", "maker": "VARCHAR"}
_CLASSES: Mapping[str, str] = {"origin": "INTEGER", "label": "INTEGER", "class_name": "VARCHAR"}


class Connection:
    """An open, locked connection. Its views are those of `store.sql.columns.VIEWS`; `close` it or use it in a `with`.

    `damaged` says what the views leave out because it is damaged; rows of features that are lost, once a query reads features. A query may
    take `memory` bytes beside its answer.
    """

    def __init__(self, database: Any, memory: int, found: Sources, packed: Packed) -> None:
        self._database, self.memory, self.damaged, self._packed = database, memory, found.damaged, packed
        self._files, self._looked = [path for paths in found.files.values() for path in paths], False

    @property
    def views(self) -> Mapping[str, View]:
        """The views with their documented columns."""
        return VIEWS

    def query(self, sql: str, timeout: float | None = None) -> pa.Table:
        """The rows of one query, or of the ready question of that name, which may take `timeout` seconds.

        Raises `QueryError` with one sentence for anything else, and for SQL that fails, takes too long or too much memory;
        `ArtifactRemoved` where it fails because another process removed what the views read; and `ArtifactDamaged` for rows of features
        in a file whose bytes changed.
        """
        import duckdb

        sql = QUESTIONS[sql].sql if sql in QUESTIONS else sql
        late = threading.Event()

        def stop() -> None:
            late.set()
            self._database.interrupt()

        clock = threading.Timer(timeout or 0, stop)
        clock.daemon = True
        try:
            sql.encode()
            if timeout is not None:
                clock.start()
            return self._answer(self._checked(sql))
        except (duckdb.Error, OSError, MemoryError) as error:
            # While rows are handed over, what the database says comes as an error of the reader's.
            if isinstance(error, duckdb.InterruptException) and not late.is_set():
                raise KeyboardInterrupt from error
            raise QueryError(late_sentence(timeout or 0)) if late.is_set() else self._failed(error) from error
        except (RecursionError, UnicodeEncodeError) as error:
            raise QueryError(NESTED if isinstance(error, RecursionError) else "the query holds text that is not Unicode.") from error
        finally:
            clock.cancel()

    def _failed(self, error: Exception) -> XmapError:
        """What an error of the database says of the query, or of files that went meanwhile."""
        import duckdb

        if isinstance(error, MemoryError | duckdb.OutOfMemoryException) or "Out of Memory Error" in str(error):
            return QueryError(f"the query takes more than {_size(self.memory)} of memory; {NARROWER}.")
        gone = next((path for path in self._files if not path.exists()), None)
        removed = None if gone is None else explained(ArtifactDamaged(gone, "it is gone", ""))
        return removed if isinstance(removed, ArtifactRemoved) else QueryError(_sentence(error))

    def _answer(self, statement: str) -> pa.Table:
        """The rows of a statement, read a part at a time: what is handed over is no longer in the database's own count."""
        result = self._database.sql(statement)
        if result is None:
            return pa.table({})
        reader, parts, taken = result.to_arrow_reader(ROWS), [], 0
        try:
            for part in reader:
                parts.append(part)
                taken += part.nbytes
                if taken > ANSWER:
                    raise QueryError(f"the answer takes more than {_size(ANSWER)}; {NARROWER}.")
            return pa.Table.from_batches(parts, reader.schema)
        finally:
            reader.close()
            # An error's traceback would hold them for as long as it is shown.
            del reader, result

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _checked(self, sql: str) -> str:
        """The one statement of `sql`, if all it does is read the views."""
        text = self._one(sql)
        inner = text
        if (asked := _EXPLAIN.match(text)) is not None:
            inner = self._one(text[asked.end() :])
        ((serialized,),) = self._database.execute("SELECT json_serialize_sql(?::VARCHAR)", [inner]).fetchall()
        tree = json.loads(serialized)
        if tree.get("error"):
            raise QueryError(f"{ONLY_QUERIES}; a PIVOT needs its values listed: PIVOT ... ON column IN (...).")
        nodes = list(_nodes(tree))
        for node in nodes:
            _check_node(node)
        if not self._looked and any(str(node.get("table_name", "")).lower() in PACKED for node in nodes):
            self._packed.require_whole()
            self.damaged += tuple(self._packed.lost(lambda sql: self._database.sql(sql).fetchall()))
            self._looked = True
        return text

    def _one(self, sql: str) -> str:
        statements = self._database.extract_statements(sql)
        if len(statements) != 1:
            raise QueryError(f"the query holds {len(statements)} statements; {ONLY_QUERIES}.")
        return str(statements[0].query)


def connect(root: Path | str | None = None) -> Connection:
    """Open the store at `root` (default: `XMAP_STORE`, else `.xmap`) for SQL.

    Views stand for the artifacts that are there now; an empty or absent store gives views without rows. A damaged artifact
    is left out and named in `Connection.damaged`. Raises `QueryError`.
    """
    import duckdb

    folder = Path(os.path.abspath(store_root(root)))
    found = sources(Store(folder))
    memory = memory_limit()
    settings: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "allow_persistent_secrets": False,
        "python_enable_replacements": False,
        # What does not fit into memory is refused, not put on a disk that others need.
        "temp_directory": "",
        "memory_limit": f"{memory}B",
    }
    database = duckdb.connect(":memory:", config=settings)
    try:
        _create_views(database, found)
        _lock(database, [path for paths in found.files.values() for path in paths])
    except (duckdb.Error, UnicodeEncodeError) as error:
        database.close()
        raise QueryError(f"the store at {folder} cannot be opened for SQL: {_sentence(error)}") from error
    except BaseException:
        database.close()
        raise
    return Connection(database, memory, found, Packed(folder, found.files["packs"], lacking(found)))


def memory_limit() -> int:
    """The bytes that a query may take: half of what there are, at most 4 GiB."""
    return min(MEMORY, memory_bytes() // 2)


def late_sentence(seconds: float) -> str:
    """What is said of a query that took longer than `seconds`."""
    return f"the query took longer than {seconds:g} s; {NARROWER}, or give it more with --timeout SECONDS."


def _size(count: int) -> str:
    return f"{count / (1 << 30):.3g} GiB"


def _create_views(database: Any, found: Sources) -> None:
    _register(database, "_files", found.file_rows, _FILES)
    _register(database, "_packs", found.pack_rows, _PACKS)
    _register(database, "_classes", found.class_rows, _CLASSES)
    for name, rows in (("artifacts", found.artifact_rows), ("runs", found.run_rows)):
        types = {column: kind for column, (kind, _) in VIEWS[name].columns.items()}
        _register(database, f"_{name}", rows, types)
        database.execute(f"CREATE VIEW {name} AS FROM _{name}")
    for name, text in definitions(found).items():
        database.execute(f"CREATE VIEW {name} AS {text}")


def _register(database: Any, name: str, rows: Sequence[Mapping[str, Any]], types: Mapping[str, str]) -> None:
    """Rows as a read-only table; a value of another type than its column's becomes null."""
    columns = {column: pa.array([_fitting(row.get(column), kind) for row in rows], _ARROW[kind]) for column, kind in types.items()}
    database.register(name, pa.table(columns))


def _fitting(value: Any, kind: str) -> Any:
    if kind == "VARCHAR":
        # Of a name that is no Unicode the rest can still be read.
        return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if kind == "DOUBLE":
        return float(value) if abs(value) < sys.float_info.max else None
    limit = 2**31 if kind == "INTEGER" else 2**63
    return value if isinstance(value, int) and -limit <= value < limit else None


def _lock(database: Any, files: Sequence[Path]) -> None:
    allowed = sorted({name for path in files for name in (str(path), pattern(path))})
    database.execute(f"SET allowed_paths = [{', '.join(literal(name) for name in allowed)}]")
    database.execute("SET enable_external_access = false")
    database.execute("SET lock_configuration = true")


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of a parse tree, without recursion."""
    pending = [tree]
    while pending:
        current = pending.pop()
        if isinstance(current, dict):
            yield current
            pending.extend(current.values())
        elif isinstance(current, list):
            pending.extend(current)


def _check_node(node: Mapping[str, Any]) -> None:
    kind = node.get("type")
    if isinstance(kind, str) and kind.endswith("_NODE") and kind not in READING_NODES:
        raise QueryError(f"{kind.split('_')[0]} is not allowed; {ONLY_QUERIES}.")
    if kind == "TABLE_FUNCTION":
        function = node.get("function")
        name = str(function.get("function_name", "")).lower() if isinstance(function, dict) else ""
        if name not in TABLE_FUNCTIONS:
            raise QueryError(f"the table function {name}() is not allowed; query the views {', '.join(VIEWS)}.")


def _sentence(error: Exception) -> str:
    """DuckDB's message as one sentence; for an unknown table, with the views there are."""
    lines = [line.strip() for line in str(error).splitlines()]
    first = next((line for line in lines if line), type(error).__name__)
    text = re.sub(r"^(?:[A-Z]\w+ )+Error: ", "", first).rstrip(".!")
    if "expression depth" in text:
        return NESTED
    if "Table with name" in text:
        return f"{text}; the views are {', '.join(VIEWS)}."
    hint = next((f" ({line})" for line in lines if line.startswith("Candidate bindings")), "")
    return f"{text}{hint}."
