"""What training says of each support sample and epoch, kept for the affinity log."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from xmap.stages.methods.columns import FLOATS, OBSERVED
from xmap.store.formats.tables import Array


class Recorder:
    """A `TrainLog` that keeps the rows: one a support sample and epoch."""

    def __init__(self) -> None:
        self._parts: list[dict[str, Array]] = []

    def __bool__(self) -> bool:
        return bool(self._parts)

    def add(self, epoch: int, rows: Tensor, columns: Mapping[str, Tensor]) -> None:
        """Keep one batch: `rows` (B,) numbers support samples, each column is (B,) or a scalar; `predicted` is a must.

        Raises `ValueError` for a column the affinity log does not have.
        """
        unknown = sorted(set(columns) - set(OBSERVED))
        if unknown or "predicted" not in columns:
            raise ValueError(f"the affinity log takes {', '.join(OBSERVED)}, predicted always; got {', '.join(sorted(columns))}")
        size = len(rows)
        part: dict[str, Array] = {"epoch": np.full(size, epoch, np.int32), "row": _copied(rows, size).astype(np.int64)}
        # Copied at once: a parameter such as gamma changes in place with the next step.
        self._parts.append(part | {name: _copied(column, size) for name, column in columns.items()})

    def columns(self) -> dict[str, Array]:
        """All rows sorted by (epoch, row): `epoch`, `row`, `predicted`, and floats (NaN where not given)."""
        joined = {}
        for name in ("epoch", "row", *OBSERVED):
            parts = [part[name] if name in part else np.full(len(part["row"]), np.nan) for part in self._parts]
            kind = np.float32 if name in FLOATS else np.int64 if name == "row" else np.int32
            joined[name] = np.concatenate(parts).astype(kind)
        order = np.lexsort((joined["row"], joined["epoch"]))
        return {name: column[order] for name, column in joined.items()}


def _copied(column: Tensor, size: int) -> Array:
    values: Array = column.detach().expand(size).to("cpu", copy=True).numpy()
    return values
