"""Results as lists that people can read: a small table in a shell, one in HTML in a notebook, Arrow or pandas for the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from xmap.store.disk.plain import plain
from xmap.store.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

RESULTS = ("method", "accuracy_mean", "accuracy_ci95", "top5_mean", "ece_mean", "trials", "selected_on")
DIFFERENCES = ("method", "against", "difference", "ci95", "tie")


class Rows(list[dict[str, Any]]):
    """A list of rows, of which its representation shows `columns` alone.

    >>> rows = Rows([{"method": "gda", "accuracy": 91.5, "seeds": [1, 2]}], ("method", "accuracy"))
    >>> rows
    method  accuracy
    gda     91.50
    >>> rows.to_arrow().column_names
    ['method', 'accuracy', 'seeds']
    """

    def __init__(self, rows: Iterable[dict[str, Any]], columns: Sequence[str]) -> None:
        super().__init__(rows)
        self._columns = tuple(columns)

    def __repr__(self) -> str:
        if not self:
            return "[]"
        lines = [self._columns, *(tuple(_shown(row.get(name)) for name in self._columns) for row in self)]
        wide = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, wide, strict=True)).rstrip() for line in lines)

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(name)}</th>" for name in self._columns)
        body = "".join(f"<tr>{''.join(f'<td>{escape(_shown(row.get(name)))}</td>' for name in self._columns)}</tr>" for row in self)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def to_arrow(self) -> pa.Table:
        """All of their fields as a pyarrow table."""
        import pyarrow

        return pyarrow.Table.from_pylist(list(self))

    def to_pandas(self) -> Any:
        """All of their fields as a pandas DataFrame. Raises `InputError` where pandas is not installed."""
        return frame_of(self.to_arrow())


def frame_of(table: pa.Table) -> Any:
    """A table as a pandas DataFrame. Raises `InputError` where pandas is not installed."""
    if find_spec("pandas") is None:
        raise InputError("pandas is not installed; run `pip install pandas`, or use to_arrow().")
    return table.to_pandas()


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.2f}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_shown, value))}]"
    return "" if value is None else plain(str(value))


def counted(states: Mapping[str, int]) -> str:
    """`3 built, 5 reused`."""
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
