"""What people see: lines, numbers and JSON on stdout, remarks on stderr."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from textwrap import wrap
from typing import Any, TextIO

import typer

from xmap.store.disk.plain import TURNING
from xmap.store.disk.plain import plain as plain

_HARMFUL_BETWEEN_LINES = re.compile(f"[\0-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff{TURNING}]")


def say(line: str) -> None:
    """One line on stderr."""
    typer.echo(plain(line), err=True)


def warn(line: str) -> None:
    """One line on stderr that names xmap, as errors do."""
    head, colour = ("xmap: warning", "yellow") if line.startswith("warning:") else ("xmap", "red")
    typer.echo(marked(plain(f"xmap: {line}"), head, colour, sys.stderr), err=True)


def marked(line: str, head: str, colour: str, stream: TextIO) -> str:
    """`line` with the `head` that it begins with in a colour, where `stream` is a terminal that shows colours."""
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return line
    return typer.style(head, fg=colour, bold=True) + line.removeprefix(head)


def show(line: str, err: bool = False) -> None:
    """One line on stdout (or stderr); on a terminal it is broken between words alone, so that a name can be copied."""
    width, text = terminal_width(sys.stderr if err else sys.stdout), plain(line)
    whole = width is None or len(text) <= width
    typer.echo(text if whole else "\n".join(wrap(text, width or 0, break_long_words=False, break_on_hyphens=False)), err=err)


def terminal_width(stream: TextIO | None = None) -> int | None:
    """The columns of the terminal that `stream` (default stdout) is; None where it is none."""
    return shutil.get_terminal_size().columns if (stream or sys.stdout).isatty() else None


def print_json(value: Any) -> None:
    """`value` as JSON on stdout."""
    typer.echo(_json(value, indent=1))


def json_line(value: Any) -> str:
    """`value` as JSON on one line."""
    return _json(value, indent=None)


def as_text(value: Any) -> str | None:
    """A value of any kind as a cell of a column of texts: what is no text as JSON says it."""
    return value if value is None or isinstance(value, str) else json_line(value)


def _said(value: Any) -> Any:
    """What JSON has no type for: SQL's decimals are numbers, all else is text."""
    from decimal import Decimal

    if isinstance(value, Decimal) and value.is_finite():
        return int(value) if value == value.to_integral_value() else float(value)
    return str(value)


def _json(value: Any, indent: int | None) -> str:
    """JSON in which numbers that it cannot say are null, and signs that mean something to a terminal, or that stdout lacks, escapes."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    written = partial(json.dumps, indent=indent, ensure_ascii=not encoding.lower().startswith("utf"), allow_nan=False, default=_said)
    try:
        text = written(value)
    except ValueError:
        text = written(_finite(value))
    return _HARMFUL_BETWEEN_LINES.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def points(difference: float) -> str:
    """A difference of accuracies, signed; what rounds to nothing has no minus."""
    return f"{round(difference, 2) + 0.0:+.2f}"


def interval(bounds: Any) -> str:
    """`[low, high]` with two decimals."""
    # What rounds to nothing has no minus.
    return f"[{', '.join(f'{round(end, 2) + 0.0:.2f}' for end in bounds)}]" if isinstance(bounds, Sequence) else str(bounds)


def number(value: Any, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def size(count: int) -> str:
    """A number of bytes for people."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def duration(seconds: float) -> str:
    """A time span for people."""
    for limit, unit, divisor in ((120, "s", 1), (7200, "min", 60), (172800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / divisor:.0f} {unit}"
    return f"{seconds / 86400:.0f} days"
