"""Tables on stdout. In a pipe all values are whole; on a terminal no word is broken, whatever its width.

What does not fit is made to fit in this order: paths lose their beginning, the least telling columns are left out, the columns of a
grid go on in tables below, and at last each row becomes a block of lines, one a column.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import typer

from xmap.cli.console import plain, show, terminal_width

if TYPE_CHECKING:
    from rich.table import Table as RichTable

# The least that is left of a path, and between and around the columns of a table.
LEAST, BETWEEN, AROUND = 20, 3, 2
UNBOUNDED = 1 << 20
CUT = "…"


@dataclass(frozen=True)
class Layout:
    """A table that fits: its columns and cells, or, where none does, `records`. `left_out` and `cut` say what was done for it."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    left_out: Sequence[str] = ()
    cut: bool = False
    records: bool = False

    @property
    def remark(self) -> str:
        """What is not to be seen, in one line; empty where nothing is missing."""
        count = len(self.left_out)
        columns = f"{count} column{'s' if count > 1 else ''} left out: {', '.join(self.left_out)}" if count else ""
        cut = f"{CUT} stands for the beginning of a long name" if self.cut else ""
        said = "; ".join(part for part in (columns, cut) if part)
        return f"{said}; a wider terminal or --json shows all" if said else ""


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    right: Collection[str] = (),
    spare: Sequence[str] = (),
    paths: Collection[str] = (),
    best: Collection[int] = (),
    repeat: int = 0,
) -> None:
    """A table on stdout.

    Columns named in `right` are aligned right, those in `spare` may be left out (the first first), values of those in `paths` may lose
    their beginning. The rows numbered in `best` stand out on a terminal with colours. With `repeat`, so many columns stand again at the
    left of tables below, in which the others go on.
    """
    # The names of columns are as foreign as what is in them: a query may call them anything.
    names = [plain(name) for name in columns]
    cells = [["" if cell is None else plain(str(cell)) for cell in row] for row in rows]
    least = [plain(name) for name in spare]
    layout = fitted(names, cells, terminal_width(), least, [plain(name) for name in paths])
    parts = parted(layout, terminal_width(), repeat, least) if layout.records and repeat else [layout]
    for part in parts:
        if part.records and not part.rows:
            show(f"no rows of {', '.join(part.columns)}")
        elif part.records:
            typer.echo("\n".join(_records(part)) + "\n")
        else:
            _print(part, [plain(name) for name in right], best)
    if parts[0].remark:
        show(parts[0].remark, err=True)


def fitted(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int | None, spare: Sequence[str], paths: Collection[str]
) -> Layout:
    """The layout of a table for a terminal of `width` columns; None has room for all."""
    if width is None or _needed(columns, rows) <= width:
        return Layout(columns, rows)
    left_out: list[str] = []
    for name in (None, *(name for name in spare if name in columns)):
        if name is not None:
            left_out.append(name)
        kept = [place for place, column in enumerate(columns) if column not in left_out]
        names, cells = [columns[place] for place in kept], [[row[place] for place in kept] for row in rows]
        short = _shortened(names, cells, width, paths)
        if short is not None:
            return Layout(names, short, left_out, cut=short != cells)
    return Layout(columns, rows, records=True)


def parted(layout: Layout, width: int | None, repeat: int, spare: Sequence[str]) -> list[Layout]:
    """A table that does not fit as several that do, each with the first `repeat` columns; as it is where a column alone is too wide."""
    head, parts = list(range(repeat)), []
    rest = [place for place in range(repeat, len(layout.columns)) if layout.columns[place] not in spare]
    while rest:
        taken = max((count for count in range(1, len(rest) + 1) if _fits(layout, [*head, *rest[:count]], width)), default=0)
        if not taken:
            return [layout]
        parts.append([*head, *rest[:taken]])
        rest = rest[taken:]
    left_out = [name for name in spare if name in layout.columns]
    return [Layout(*_picked(layout, places), left_out=left_out) for places in parts]


def _fits(layout: Layout, places: Sequence[int], width: int | None) -> bool:
    return width is None or _needed(*_picked(layout, places)) <= width


def _picked(layout: Layout, places: Sequence[int]) -> tuple[list[str], list[list[str]]]:
    return [layout.columns[place] for place in places], [[row[place] for place in places] for row in layout.rows]


def aligned(values: Sequence[object]) -> list[str] | None:
    """The numbers of a column with six digits at most and equal decimals; None for a column of anything else."""
    if not all(value is None or (isinstance(value, int | float | Decimal) and not isinstance(value, bool)) for value in values):
        return None
    texts = ["" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value) for value in values]
    if any("e" in text or "n" in text for text in texts):
        return texts
    decimals = max((len(text.partition(".")[2]) for text in texts), default=0)
    return [f"{value:.{decimals}f}" if isinstance(value, float) else text for value, text in zip(values, texts, strict=True)]


def _shortened(columns: Sequence[str], rows: list[list[str]], width: int, paths: Collection[str]) -> list[list[str]] | None:
    """The rows with paths cut so that the table fits, the longest most; None where that is not enough."""
    wide = _widths(columns, rows)
    excess = sum(wide) + _frame(columns) - width
    for place in sorted((place for place, name in enumerate(columns) if name in paths), key=lambda place: -wide[place]):
        least = max(LEAST, _length(columns[place]))
        taken = max(0, min(excess, wide[place] - least))
        excess, wide[place] = excess - taken, wide[place] - taken
    if excess > 0:
        return None
    return [[_end(cell, room) for cell, room in zip(row, wide, strict=True)] for row in rows]


def _end(text: str, room: int) -> str:
    """The end of `text` that has room, after a mark that something is missing."""
    if _length(text) <= room:
        return text
    from rich.cells import set_cell_size

    return CUT + set_cell_size(text[::-1], room - 1).rstrip()[::-1]


def _needed(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    return sum(_widths(columns, rows)) + _frame(columns)


def _frame(columns: Sequence[str]) -> int:
    return AROUND + BETWEEN * (len(columns) - 1)


def _widths(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(_length, column)) for column in zip(columns, *rows, strict=True)]


def _length(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def _records(layout: Layout) -> Iterator[str]:
    """Each row as lines of a column and its value, with an empty line between rows."""
    wide = max(map(_length, layout.columns))
    for number, row in enumerate(layout.rows):
        if number:
            yield ""
        yield from (f"{name}{' ' * (wide - _length(name))}  {cell}".rstrip() for name, cell in zip(layout.columns, row, strict=True))


def _print(layout: Layout, right: Collection[str], best: Collection[int]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table: RichTable = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in layout.columns:
        table.add_column(Text(column), justify="right" if column in right else "left", no_wrap=True)
    for number, row in enumerate(layout.rows):
        cells: list[Any] = [Text(cell) for cell in row]
        table.add_row(*cells, style="green" if number in best else None)
    # Without a height, rich would take 80 columns for every terminal that calls itself dumb.
    Console(width=terminal_width() or UNBOUNDED, height=1).print(table, markup=False)
