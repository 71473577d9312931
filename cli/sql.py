"""`xmap sql`."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from textwrap import indent
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import print_json, warn
from cli.options import StoreOption
from cli.output import CSV, JSON, PARQUET, TABLE, chosen_format, chosen_output, printed_to
from cli.tables import aligned, print_table
from store.errors import InputError, UnknownName
from store.files import read_plain

if TYPE_CHECKING:
    import pyarrow as pa

_WORD = re.compile(r"[\w.-]+")
# Bytes of a query file.
QUERY_LIMIT = 1 << 20
FORMATS = (TABLE, CSV, JSON, PARQUET)


def _names(incomplete: str) -> list[str]:
    """The ready questions that begin so, for shell completion."""
    from store.questions import QUESTIONS

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
    form: Annotated[str, typer.Option("--format", metavar="FORMAT", help="table, csv, json or parquet (with -o).")] = "",
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Write to a file instead of stdout.")] = "",
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    store: StoreOption = "",
) -> None:
    """Query the store: views samples, features, affinity, neighbors, predictions, artifacts and runs.

    The query can read these views and nothing else on the machine.

    Example: xmap sql label-suspects
    """
    target = chosen_output(output)
    chosen = chosen_format(JSON if json else form, target, FORMATS)
    if listed:
        with printed_to(target):
            _show_list(as_json=chosen == JSON)
        return
    text = _query(query, file)
    from store.sql import connect
    from store.tables import encode_table

    with connect(store or None) as connection:
        for damage in connection.damaged:
            warn(f"left out: {damage}")
        table = connection.query(text)
    if target and chosen == PARQUET:
        with target.open() as opened:
            encode_table(opened, table, "")
    else:
        with printed_to(target, spreadsheet=chosen == CSV):
            _print(table, chosen)


def _show_list(as_json: bool) -> None:
    from store.catalog import VIEWS
    from store.questions import QUESTIONS

    if as_json:
        views = {name: {"about": view.about, "columns": view.columns} for name, view in VIEWS.items()}
        print_json({"views": views, "questions": {name: asdict(question) for name, question in QUESTIONS.items()}})
        return
    for name, view in VIEWS.items():
        typer.echo(f"{name}: {view.about}")
        print_table(("column", "type", "meaning"), [(column, kind, about) for column, (kind, about) in view.columns.items()])
    typer.echo("Ready questions: `xmap sql NAME` asks one.\n")
    for name, question in QUESTIONS.items():
        typer.echo(f"{name}: {question.about}\n{indent(question.sql.strip(), '    ')}\n")


def _query(query: str, file: str) -> str:
    if bool(query) == bool(file):
        raise InputError("give one query, as an argument or with -f FILE; `xmap sql --list` shows ready ones.")
    if not file:
        from store.questions import QUESTIONS

        # No SQL is one word alone.
        if query not in QUESTIONS and _WORD.fullmatch(query):
            raise _unknown(query)
        return QUESTIONS[query].sql if query in QUESTIONS else query
    try:
        return read_plain(file, QUERY_LIMIT).decode()
    except OSError as error:
        raise InputError(f"the query file {file} cannot be read ({error.strerror}); check its name.") from error
    except ValueError as error:
        raise InputError(f"the query file {file} cannot be read as UTF-8 text; save it as such.") from error


def _unknown(word: str) -> InputError:
    from store.catalog import VIEWS
    from store.questions import QUESTIONS

    if word in VIEWS:
        return InputError(f"{word} is a view, not a query; ask `xmap sql 'from {word} limit 20'`.")
    return UnknownName("question", word, tuple(QUESTIONS))


def _print(table: pa.Table, form: str) -> None:
    rows: list[dict[str, Any]] = table.to_pylist()
    if form == CSV:
        writer = csv.writer(sys.stdout)
        writer.writerow(table.column_names)
        writer.writerows([row[name] for name in table.column_names] for row in rows)
    elif form == JSON:
        print_json(rows)
    else:
        _print_answer({name: [row[name] for row in rows] for name in table.column_names})


def _print_answer(values: Mapping[str, Sequence[object]]) -> None:
    """An answer as a table: numbers to the right and with equal decimals a column."""
    texts = {name: aligned(column) for name, column in values.items()}
    paths = [name for name, column in values.items() if any(isinstance(value, str) and "/" in value for value in column)]
    shown = [texts[name] or values[name] for name in values]
    print_table(list(values), list(zip(*shown, strict=True)), right=[name for name in values if texts[name]], paths=paths)
