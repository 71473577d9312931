"""Tables as documents have them: Markdown and LaTeX. What is in a cell is shown as it is, whatever either would take it for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from xmap.cli.console import plain

Rows = Sequence[Sequence[Any]]

# What Markdown would take for a mark; an underline within a word is none.
_MARKS = re.compile(r"[\\|`*<]|&(?=#?\w+;)|(?<!\w)_|_(?!\w)|\](?=\()|~(?=~)")
_ENTITIES = {"<": "&lt;", "&": "&amp;"}
# What TeX would take for a command or join to one sign, and what its usual fonts lack or show as another sign.
_SIGNS = re.compile(r"[\\~^&%$#_{}<>|\"`±×−–—…≤≥→]|-(?=-)|'(?=')|[?!](?=`)|,(?=,)")
TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "→": r"$\to$",
    "−": "$-$",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "…": r"\dots{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}
PACKAGES = r"% needs \usepackage{booktabs} and, for quotation marks in names, \usepackage[T1]{fontenc}"


def markdown(columns: Sequence[Any], numbers: Sequence[bool], rows: Rows) -> Iterator[str]:
    """The lines of a Markdown table; columns of numbers are aligned right."""
    yield _piped(map(_marked, columns))
    yield _piped("---:" if right else "---" for right in numbers)
    for row in rows:
        yield _piped(map(_marked, row))


def _piped(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _marked(cell: Any) -> str:
    return _MARKS.sub(lambda found: _ENTITIES.get(found[0], f"\\{found[0]}"), _text(cell))


def latex(columns: Sequence[Any], numbers: Sequence[bool], rows: Rows) -> Iterator[str]:
    """The lines of a LaTeX table with the rules of the package booktabs; columns of numbers are aligned right."""
    yield PACKAGES
    yield f"\\begin{{tabular}}{{{''.join('r' if right else 'l' for right in numbers)}}}"
    yield r"\toprule"
    yield _ampersands(columns)
    yield r"\midrule"
    yield from map(_ampersands, rows)
    yield r"\bottomrule"
    yield r"\end{tabular}"


def _ampersands(cells: Sequence[Any]) -> str:
    row = " & ".join(_SIGNS.sub(lambda found: TEX.get(found[0], f"{found[0]}{{}}"), _text(cell)) for cell in cells)
    # Behind a rule or the end of the row before, TeX would take [, ( and * for its options.
    return f"{'{}' if row.startswith(('[', '(', '*')) else ''}{row} \\\\"


def _text(cell: Any) -> str:
    return "" if cell is None else plain(str(cell))
