"""CSV that a spreadsheet opens: no text of it starts a formula, and none of it says anything to a terminal."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from numbers import Number
from typing import TYPE_CHECKING, Any

import typer

from xmap.cli.console import json_line, plain
from xmap.store.disk.plain import CONTROLS, FORMULA

if TYPE_CHECKING:
    import pyarrow as pa

QUOTED = re.compile("[\",\t\r\n]|^[ ']| $")
# In another dialect of patterns, a text without any of these stays as it is: the first signs, ends, and signs anywhere of all three rules.
ODD = r"""^[ '=+\-@\x{ff1d}\x{ff0b}\x{ff0d}\x{ff20}]| $|[",\x00-\x1f\x7f-\x{9f}]"""


def print_row(cells: Iterable[Any]) -> None:
    """One line of CSV on stdout."""
    typer.echo(",".join(map(_cell, cells)) + "\r\n", nl=False)


def print_rows(columns: Iterable[pa.Array]) -> None:
    """The rows of columns as lines of CSV on stdout, byte for byte those of `print_row`."""
    import pyarrow.compute as pc

    cells = [_cells(column) for column in columns]
    cells[-1] = pc.binary_join_element_wise(cells[-1], "", "\r\n")
    lines = pc.binary_join_element_wise(*cells, ",")
    typer.echo("".join(lines.to_pylist()), nl=False)


def _cells(column: pa.Array) -> pa.Array:
    """The cells of a column as texts."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_string(column.type) or sys.stdout.isatty():
        return pa.array([_cell(value) for value in column.to_pylist()], pa.string())
    texts = column.fill_null("")
    odd = pc.match_substring_regex(texts, ODD)
    if not odd.true_count:
        return texts
    return pc.replace_with_mask(texts, odd, pa.array([_cell(text) for text in texts.filter(odd).to_pylist()], pa.string()))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Number):
        return str(value)
    text = json_line(value) if isinstance(value, list | tuple | dict) else str(value)
    text = plain(text) if sys.stdout.isatty() else CONTROLS.sub(lambda found: plain(found[0]), text)
    if FORMULA.match(text):
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"' if QUOTED.search(text) else text
