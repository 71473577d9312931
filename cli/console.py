"""What people see: lines, numbers and JSON on stdout, remarks on stderr."""

from __future__ import annotations

import json
import math
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any
from unicodedata import category

import typer

_HALF_PAIR = re.compile("[\ud800-\udfff]")

# Marks that turn the direction of the text after them: a name must not rewrite the sentence around it.
_TURNING = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def plain(text: str) -> str:
    """`text` on one line and harmless to a terminal: what a name may hold beside letters is shown as its escape."""
    return "".join(_escaped(sign) if category(sign) in ("Cc", "Cs", "Zl", "Zp") or sign in _TURNING else sign for sign in text)


def _escaped(sign: str) -> str:
    return sign.encode("unicode_escape").decode()


def say(line: str) -> None:
    """One line on stderr."""
    typer.echo(plain(line), err=True)


def warn(line: str) -> None:
    """One line on stderr that names xmap, as errors do."""
    say(f"xmap: {line}")


def show(line: str) -> None:
    """One line on stdout; on a terminal it is broken between words alone, so that a name can be copied."""
    width, text = terminal_width(), plain(line)
    if width is None or len(text) <= width:
        typer.echo(text)
        return
    typer.echo("\n".join(wrap(text, width, break_long_words=False, break_on_hyphens=False)))


def terminal_width() -> int | None:
    """The columns of the terminal that stdout is; None where it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def print_json(value: Any) -> None:
    """`value` as JSON on stdout; numbers that JSON cannot say are null."""
    try:
        text = _json(value)
    except ValueError:
        text = _json(_finite(value))
    # A path that is no UTF-8 holds halves of surrogate pairs, which JSON can say and an encoder cannot.
    typer.echo(_HALF_PAIR.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False, default=str)


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
    return f"[{bounds[0]:.2f}, {bounds[1]:.2f}]" if isinstance(bounds, Sequence) else str(bounds)


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
