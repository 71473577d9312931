"""`xmap sql`."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from cli.options import StoreOption
from cli.show import print_json, print_table, warn
from store.errors import InputError, UnknownName

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = ("table", "csv", "json", "parquet")


def command(
    query: Annotated[str, typer.Argument(metavar="[QUERY]", help="One query.", show_default=False)] = "",
    file: Annotated[str, typer.Option("--file", "-f", metavar="FILE", help="Read the query from a file.")] = "",
    form: Annotated[str, typer.Option("--format", metavar="FORMAT", help="table, csv, json or parquet (with -o).")] = "",
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Write to a file instead of stdout.")] = "",
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    store: StoreOption = "",
) -> None:
    """Query the store: views samples, features, affinity, neighbors, predictions, artifacts and runs.

    The query can read these views and nothing else on the machine.
    """
    chosen = "json" if json else form or _by_suffix(output)
    if chosen not in FORMATS:
        raise UnknownName("format", chosen, FORMATS)
    if chosen == "parquet" and not output:
        raise InputError("--format parquet: name the file to write with -o FILE.")
    text = _query(query, file)
    from store.sql import connect

    with connect(store or None) as connection:
        for damage in connection.damaged:
            warn(f"left out: {damage}")
        table = connection.query(text)
    _write(table, chosen, output)


def _by_suffix(output: str) -> str:
    suffix = Path(output).suffix.removeprefix(".").lower()
    return suffix if suffix in FORMATS else "csv" if output else "table"


def _query(query: str, file: str) -> str:
    if bool(query) == bool(file):
        raise InputError("give one query, as an argument or with -f FILE.")
    if not file:
        return query
    try:
        return Path(file).read_text("utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"the query file {file} cannot be read as text; check its name.") from error


def _write(table: pa.Table, form: str, output: str) -> None:
    if form == "parquet":
        from store.tables import write_table

        write_table(Path(output), table, "")
    elif not output:
        _print(table, form, sys.stdout)
    else:
        try:
            with open(output, "w", encoding="utf-8", newline="") as file:
                _print(table, form, file)
        except OSError as error:
            raise InputError(f"{output} cannot be written ({error.strerror}); choose another file with -o.") from error


def _print(table: pa.Table, form: str, file: TextIO) -> None:
    rows: list[dict[str, Any]] = table.to_pylist()
    if form == "csv":
        writer = csv.writer(file)
        writer.writerow(table.column_names)
        writer.writerows([row[name] for name in table.column_names] for row in rows)
    elif form == "json" and file is sys.stdout:
        print_json(rows)
    elif form == "json":
        import json as module

        module.dump(rows, file, indent=1, ensure_ascii=False, default=str)
    else:
        print_table(table.column_names, [[_shown(row[name]) for name in table.column_names] for row in rows])


def _shown(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value
