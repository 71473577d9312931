"""The formats of tables, one list for every command: printed on stdout, or written to the file that -o names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import typer

from xmap.cli.console import json_line, print_json
from xmap.cli.documents import Rows, latex, markdown
from xmap.cli.output import CSV, JSON, JSONL, LATEX, MARKDOWN, PARQUET, TABLE, chosen_format, chosen_output, printed_to
from xmap.cli.spreadsheet import print_row
from xmap.cli.tables import aligned, print_table
from xmap.store.disk.output import Output

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Sheet:
    """A table in all its forms.

    `values` are its columns as they are, for programs. `texts` are columns for people where these differ, those named in `right` aligned
    right. `facts` is what JSON says instead of the rows, `show` how people see it in place of one table, `arrow` the table with its
    types where there is one, `spare` what a narrow terminal may leave out.
    """

    values: Mapping[str, Sequence[Any]]
    texts: Mapping[str, Sequence[str]] | None = None
    right: Sequence[str] = ()
    facts: Any = None
    show: Callable[[], None] | None = None
    arrow: pa.Table | None = None
    spare: Sequence[str] = ()

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One object a row."""
        return [dict(zip(self.values, row, strict=True)) for row in zip(*self.values.values(), strict=True)]

    @property
    def written(self) -> tuple[dict[str, Sequence[Any]], list[str]]:
        """The columns as people read them, and which of these are numbers: they have equal decimals."""
        if self.texts is not None:
            return dict(self.texts), list(self.right)
        numbers = {name: texts for name, column in self.values.items() if (texts := aligned(column)) is not None}
        return {name: numbers.get(name, column) for name, column in self.values.items()}, list(numbers)


def rows_of(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> dict[str, list[Any]]:
    """Rows as columns: `columns`, which are there without any row too, then others in the order in which their names first come up."""
    names = dict.fromkeys([*columns, *(name for row in rows for name in row)])
    return {name: [row.get(name) for row in rows] for name in names}


class Destination:
    """Where a table goes and in which format, checked before any work. Raises `OutputError`, `InputError` and `UnknownName`."""

    def __init__(self, form: str, output: str, as_json: bool) -> None:
        self.output: Output | None = chosen_output(output)
        self.form = chosen_format(JSON if as_json else form, self.output, FORMATS)
        # Whether any was named: what makes something has nothing to print where none was.
        self.asked = bool(form or output or as_json)

    def write(self, sheet: Sheet) -> None:
        """Print the table, or write it whole."""
        if self.output and self.form == PARQUET:
            import pyarrow

            from xmap.store.formats.tables import encode_table

            with self.output.open() as file:
                encode_table(file, sheet.arrow if sheet.arrow is not None else pyarrow.table(dict(sheet.values)), "")
            return
        with printed_to(self.output, spreadsheet=self.form == CSV):
            WRITERS[self.form](sheet)


def _table(sheet: Sheet) -> None:
    if sheet.show:
        sheet.show()
        return
    columns, numbers = sheet.written
    paths = [name for name, column in columns.items() if any(isinstance(value, str) and "/" in value for value in column)]
    print_table(list(columns), list(zip(*columns.values(), strict=True)), right=numbers, spare=sheet.spare, paths=paths)


def _csv(sheet: Sheet) -> None:
    print_row(sheet.values)
    for row in zip(*sheet.values.values(), strict=True):
        print_row(row)


def _json(sheet: Sheet) -> None:
    print_json(sheet.rows if sheet.facts is None else sheet.facts)


def _jsonl(sheet: Sheet) -> None:
    for row in sheet.rows:
        typer.echo(json_line(row))


def _document(sheet: Sheet, lines: Callable[[Sequence[Any], Sequence[bool], Rows], Iterator[str]]) -> None:
    columns, numbers = sheet.written
    for line in lines(list(columns), [name in numbers for name in columns], list(zip(*columns.values(), strict=True))):
        typer.echo(line)


WRITERS: Mapping[str, Callable[[Sheet], None]] = {
    TABLE: _table,
    CSV: _csv,
    JSON: _json,
    JSONL: _jsonl,
    MARKDOWN: partial(_document, lines=markdown),
    LATEX: partial(_document, lines=latex),
}
FORMATS = (*WRITERS, PARQUET)
