"""Per-sample evidence: the columns of the affinity log, and the nearest cached images of a sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from torch import Tensor

from xmap.stages.methods.fitting.epochs import columns_of
from xmap.stages.methods.maths.hard_samples import Means, disagreement
from xmap.stages.methods.protocol import Fitted, Scores, Settings
from xmap.store.formats.index import Neighbors, VectorIndex
from xmap.store.formats.log import NeighborColumn, Values
from xmap.store.formats.tables import Array

FLOATS = ("gamma", "affinity_image", "affinity_text", "difference", "weight", "loss", "margin")
OBSERVED = ("predicted", *FLOATS)


def sample_columns(fitted: Fitted, scores: Scores, labels: Tensor) -> dict[str, Tensor]:
    """What samples with `labels` (B,) that `fitted` scored show: each column (B,), of each sample by itself.

    Affinities are the class sums of the true class; the margin is the true logit minus the best other one. The
    difference is relative to both sides' means over the support. Columns that a method has no caches for are absent.
    """
    true = labels[:, None]
    columns: dict[str, Tensor] = {}
    if scores.gamma is not None:
        columns["gamma"] = scores.gamma.expand(len(labels))
    for name, sums in (("affinity_image", scores.image), ("affinity_text", scores.text)):
        if sums is not None:
            columns[name] = sums.gather(1, true)[:, 0]
    if scores.image is not None and scores.text is not None:
        columns["difference"] = disagreement(scores.image, scores.text, Means.kept(fitted.settings))
    return columns_of(scores.logits, labels, columns)


def batches(total: int, size: int) -> Iterator[slice]:
    """Slices of `size` rows over `total`."""
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))


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


def nearest_others(index: VectorIndex, queries: Array, k: int, rows: Array | None = None) -> Neighbors:
    """The `k` nearest other keys of the index's own keys `queries` (Q, C), those at `rows` or all in row order: (Q, at most M - 1)."""
    found = index.search(queries, k + 1)
    own = found.rows == (np.arange(len(queries)) if rows is None else rows)[:, None]
    # The own key goes last (in a crowd of duplicates it may not be among those found: then the last one goes).
    order = np.argsort(own, axis=1, kind="stable")[:, : min(k, max(len(index) - 1, 0))]
    return Neighbors(np.take_along_axis(found.scores, order, 1), np.take_along_axis(found.rows, order, 1))


def agreement(found: Neighbors, cached: Values, labels: Array) -> Array:
    """The share (B,) float32 of the found keys whose label is the sample's; NaN where nothing was found."""
    there = found.rows >= 0
    same = there & (cached.labels[found.rows.clip(min=0)] == labels[:, None])
    total = there.sum(1)
    shares: Array = np.divide(same.sum(1), total, out=np.full(len(labels), np.nan), where=total > 0).astype(np.float32)
    return shares


def key_affinity(found: Neighbors, settings: Settings) -> Array:
    """What a sample and each found key mean to a method: `exp(-beta (1 - cosine))` with its beta, else the cosine."""
    if "beta" not in settings:
        return found.scores
    values: Array = np.exp(-float(settings["beta"]) * (1.0 - found.scores))
    return values


def neighbor_column(found: Neighbors, settings: Settings, cached: Values) -> NeighborColumn:
    """The found keys of each sample with their affinities, nearest first."""
    return NeighborColumn(found.rows, key_affinity(found, settings), cached.sample_ids, cached.labels)
