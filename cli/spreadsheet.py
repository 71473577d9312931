"""CSV that a spreadsheet opens: no text of it starts a formula, and none of it says anything to a terminal."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from numbers import Number
from typing import Any

import typer

from xmap.cli.console import json_line, plain
from xmap.store.disk.plain import CONTROLS, FORMULA

QUOTED = re.compile("[\",\t\r\n]|^[ ']| $")


def print_row(cells: Iterable[Any]) -> None:
    """One line of CSV on stdout."""
    typer.echo(",".join(map(_cell, cells)) + "\r\n", nl=False)


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
