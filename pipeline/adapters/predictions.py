"""What an adapter says of several images in Python: a sequence of predictions, and a table to look at and to work with."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Self, overload

from xmap.pipeline.run.rows import Rows, frame_of
from xmap.stages.adapters.percent import percent
from xmap.stages.predict.answers import Answers
from xmap.stages.predict.prediction import Asked, Prediction

if TYPE_CHECKING:
    import pyarrow as pa

# Rows that a shell or a notebook shows, classes of a set that are named, and characters of a path.
SHOWN, NAMED, WIDE = 10, 5, 40


class Predictions(Sequence[Prediction]):
    """Predictions in the order of the images; `repr` and a notebook show the first ten as a table.

    A slice is one too. Nothing is computed anew: a `Prediction` is a row of columns that are kept.

    >>> found = xmap.load().predict(["photo.jpg", "holiday"])
    >>> len(found), found[0].path, len(found[1:])
    (3, 'photo.jpg', 2)
    >>> found.to_arrow().num_rows
    3
    >>> print(repr(found).splitlines()[0])
    <Predictions of 3 images>
    """

    def __init__(self, answers: Iterable[Answers], asked: Asked) -> None:
        self._parts, self._asked = tuple(answers), asked
        self._ends = tuple(accumulate(map(len, self._parts)))
        self._places: Sequence[int] = range(self._ends[-1] if self._ends else 0)

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, key: int) -> Prediction: ...

    @overload
    def __getitem__(self, key: slice) -> Self: ...

    def __getitem__(self, key: int | slice) -> Prediction | Self:
        if isinstance(key, slice):
            part = type(self)(self._parts, self._asked)
            part._places = self._places[key]
            return part
        place = self._places[key]
        number = bisect_right(self._ends, place)
        answers = self._parts[number]
        return answers.row(place - self._ends[number] + len(answers))

    def to_arrow(self) -> pa.Table:
        """A pyarrow table, one row an image, with the columns of `xmap predict -o FILE.parquet`: what was not asked for is null."""
        import pyarrow

        from xmap.stages.predict.columns import schema_of, table_of

        tables = [table_of(answers, self._asked) for answers in self._parts] or [schema_of(self._asked, None).empty_table()]
        return pyarrow.concat_tables(tables).take(pyarrow.array(self._places, pyarrow.int64()))

    def to_pandas(self) -> Any:
        """The same as a pandas DataFrame. Raises `InputError` where pandas is not installed."""
        return frame_of(self.to_arrow())

    def __repr__(self) -> str:
        return f"{self._head}\n{self._rows!r}{self._more}" if self else self._head

    def _repr_html_(self) -> str:
        return f"<p>{len(self):,} predictions</p>{self._rows._repr_html_()}<p>{self._more}</p>"

    @property
    def _head(self) -> str:
        return f"<Predictions of {len(self):,} image{'' if len(self) == 1 else 's'}>"

    @property
    def _more(self) -> str:
        return f"\n... {len(self) - SHOWN:,} more" if len(self) > SHOWN else ""

    @property
    def _rows(self) -> Rows:
        """The first of them, for people."""
        rows = [_cells(prediction) for prediction in self[:SHOWN]]
        columns = [name for name in rows[0] if any(row[name] is not None for row in rows)] if rows else ()
        return Rows(rows, columns)


def _cells(prediction: Prediction) -> dict[str, str | None]:
    """One row; what was not asked for or does not apply is None."""
    path, bad, best = prediction.path, prediction.error, prediction.top(2)
    return {
        "image": path if len(path) <= WIDE else f"...{path[3 - WIDE :]}",
        "class": prediction.class_name,
        "probability %": percent(prediction.probability) if best and not prediction.rejected else None,
        "nearest": None if prediction.strangeness is None else prediction.nearest,
        "strangeness": None if prediction.strangeness is None else f"{prediction.strangeness:.3f}",
        "set": None if prediction.prediction_set is None else _set(prediction.prediction_set),
        "second": best[1][0] if len(best) > 1 else None,
        "second %": percent(best[1][1]) if len(best) > 1 else None,
        "zero-shot": prediction.zero_shot_name or None,
        "error": None if bad is None else f"{bad.kind}: {bad.message}",
    }


def _set(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
