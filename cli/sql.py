"""`xmap sql`."""

from __future__ import annotations

import re
from dataclasses import asdict
from textwrap import indent
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xmap.cli.console import show, size, warn
from xmap.cli.formats import Destination, Sheet
from xmap.cli.limits import bounded
from xmap.cli.options import FormatOption, JsonOption, OutputOption, QuietOption, StoreOption, opened
from xmap.cli.output import PARQUET
from xmap.cli.tables import print_table
from xmap.store.disk.files import read_plain
from xmap.store.errors import InputError, UnknownName

if TYPE_CHECKING:
    import pyarrow as pa

# Bytes of an answer that people can be shown: as Python values it takes ten times as much.
READABLE = 256 << 20
LONGEST = 1e9
_WORD = re.compile(r"[\w.-]+")
# Bytes of a query file.
QUERY_LIMIT = 1 << 20


def _names(incomplete: str) -> list[str]:
    """The ready questions that begin so, for shell completion."""
    from xmap.store.sql.questions import QUESTIONS

    return [name for name in QUESTIONS if name.startswith(incomplete)]


def command(
    query: Annotated[
        str,
        typer.Argument(metavar="QUERY", help="One query, or the name of a ready question.", show_default=False, autocompletion=_names),
    ] = "",
    file: Annotated[str, typer.Option("--file", "-f", metavar="FILE", help="Read the query from a file.")] = "",
    listed: Annotated[
        bool, typer.Option("--list", help="Show the views with their columns, and the ready questions with their SQL.")
    ] = False,
    form: FormatOption = "",
    output: OutputOption = "",
    json: JsonOption = False,
    timeout: Annotated[
        float,
        typer.Option("--timeout", min=0, metavar="SECONDS", help="End a query that takes longer. [300; 0: never]", show_default=False),
    ] = 300.0,
    store: StoreOption = "",
    quiet: QuietOption = False,
) -> None:
    """Query the store: views samples, features, affinity, neighbors, predictions, artifacts and runs.

    The query can read these views and nothing else on the machine, and may take half of its memory, at most 4 GiB.

    Example: xmap sql label-suspects
    """
    if not 0 <= timeout <= LONGEST:
        raise InputError(f"--timeout {timeout:g}: give seconds, or 0 for a query that may take for ever.")
    destination = Destination(form, output, json)
    if listed:
        destination.write(_listed())
        return
    text = _query(query, file)
    from xmap.store.sql.connection import connect, late_sentence

    with connect(opened(store).root) as connection:
        try:
            with bounded(timeout or None, connection.memory, late_sentence(timeout)):
                table = _told_apart(connection.query(text, timeout or None))
        finally:
            for damage in connection.damaged:
                warn(f"left out: {damage}")
    if destination.form == PARQUET:
        destination.write(Sheet({}, arrow=table))
        return
    if table.nbytes > READABLE:
        raise InputError(f"the answer has {table.num_rows:,} rows, {size(table.nbytes)}; write it with -o FILE.parquet, or ask for less.")
    destination.write(Sheet({name: _values(table, name) for name in table.column_names}, arrow=table, spare=_spare(query)))


def _values(table: pa.Table, name: str) -> list[Any]:
    """The values of a column. Raises `InputError` for those of its type that Python has no value for, such as dates without end."""
    try:
        values: list[Any] = table[name].to_pylist()
        return values
    except (ValueError, OverflowError, NotImplementedError) as error:
        kind = table.schema.field(name).type
        raise InputError(
            f"the column {name!r} holds a {kind} that cannot be shown ({error}); ask for it as text, with ::VARCHAR."
        ) from error


def _told_apart(table: pa.Table) -> pa.Table:
    """The answer with a number behind the second and later columns of one name."""
    names: list[str] = []
    for name in table.column_names:
        taken = sum(1 for other in names if other == name or other.startswith(f"{name}_"))
        names.append(f"{name}_{taken + 1}" if name in names else name)
    return table.rename_columns(names)


def _spare(query: str) -> tuple[str, ...]:
    """What a narrow terminal may leave out of the answer: columns that a ready question says so of, none of those that a user asked for."""
    from xmap.store.sql.questions import QUESTIONS

    return QUESTIONS[query].spare if query in QUESTIONS else ()


def _listed() -> Sheet:
    """The views with their columns, and the ready questions."""
    from xmap.store.sql.columns import VIEWS
    from xmap.store.sql.questions import QUESTIONS

    rows = [(name, column, kind, about) for name, view in VIEWS.items() for column, (kind, about) in view.columns.items()]
    values = dict(zip(("view", "column", "type", "meaning"), zip(*rows, strict=True), strict=True))
    views = {name: {"about": view.about, "columns": view.columns} for name, view in VIEWS.items()}
    return Sheet(values, facts={"views": views, "questions": {name: asdict(question) for name, question in QUESTIONS.items()}}, show=_show)


def _show() -> None:
    from xmap.store.sql.columns import VIEWS
    from xmap.store.sql.questions import QUESTIONS

    for name, view in VIEWS.items():
        show(f"{name}: {view.about}")
        print_table(("column", "type", "meaning"), [(column, kind, about) for column, (kind, about) in view.columns.items()])
    typer.echo("Ready questions: `xmap sql NAME` asks one.\n")
    for name, question in QUESTIONS.items():
        show(f"{name}: {question.about}")
        typer.echo(indent(question.sql.strip(), "    ") + "\n")


def _query(query: str, file: str) -> str:
    if bool(query) == bool(file):
        raise InputError("give one query, as an argument or with -f FILE; `xmap sql --list` shows ready ones.")
    if not file:
        from xmap.store.sql.questions import QUESTIONS

        # No SQL is one word alone.
        if query not in QUESTIONS and _WORD.fullmatch(query):
            raise _unknown(query)
        return QUESTIONS[query].sql if query in QUESTIONS else query
    try:
        return read_plain(file, QUERY_LIMIT).decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"the query file {file} cannot be read ({error.strerror}); check its name.") from error
    except ValueError as error:
        raise InputError(f"the query file {file} cannot be read as UTF-8 text; save it as such.") from error


def _unknown(word: str) -> InputError:
    from xmap.store.sql.columns import VIEWS
    from xmap.store.sql.questions import QUESTIONS

    if word in VIEWS:
        return InputError(f"{word} is a view, not a query; ask `xmap sql 'from {word} limit 20'`.")
    return UnknownName("question", word, tuple(QUESTIONS))
