"""What an adapter says of many images, in columns. Neither torch nor faiss is needed here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from xmap.stages.datasets.places.columns import Places
from xmap.stages.images.decode import BadImage
from xmap.stages.images.read import Given
from xmap.stages.predict.prediction import Neighbor, Prediction
from xmap.store.formats.tables import Array

NOTHING = np.empty(0, np.float32)
# What columns say of an image that cannot be read.
ABSENT: Mapping[str, Any] = {
    "probabilities": np.nan,
    "zero_shot": np.nan,
    "image": np.nan,
    "text": np.nan,
    "gamma": np.nan,
    "members": False,
    "strangeness": np.nan,
    "rejected": False,
    "encoder_said": -1,
    "encoder_share": np.nan,
}
# So many of the best classes are found one after the other; above it a sort is faster.
FEW = 16


@dataclass(frozen=True, eq=False)
class NeighborColumns:
    """The cached images nearest to each row: `rows` (B, k) int64, best first, -1 where fewer were found, and `affinities` (B, k).

    `sample_ids` and `class_names` say what the rows of the cache are.
    """

    rows: Array
    affinities: Array
    sample_ids: Sequence[str]
    class_names: Sequence[str]

    def row(self, row: int) -> tuple[Neighbor, ...]:
        """Those of one row, without what was not found."""
        near = zip(self.rows[row].tolist(), self.affinities[row].tolist(), strict=True)
        return tuple(Neighbor(self.sample_ids[key], self.class_names[key], affinity) for key, affinity in near if key >= 0)


@dataclass(frozen=True, eq=False)
class Answers:
    """What an adapter says of B images, in their order; `row` and iteration give each as a `Prediction`.

    `names` are what leads to the images. `probabilities`, calibrated, and `zero_shot` are (B, N) float32 in the order of `classes`; the
    rows in `bad`, of images that cannot be read, are NaN. `image` and `text` (B, N) are the class sums of the two caches and `gamma`
    (B,) the share of the image side, None where the method has none. `neighbors`, `members` (B, N) bool of prediction sets, `strangeness`
    (B,) float64 and `rejected` (B,) bool are None where they were not asked for. `encoder_said` (B, E) int64 is the label that each of
    several encoders alone says and `encoder_share` (B, E) how much of the answer comes from it, None of one. `known` (B,) bool says
    whether an image's very bytes are among those that the adapter learned from, None where that is not known; `columns` are B rows of
    the user's own table. `places` (B) say where the images are, None where that is not known.
    """

    names: Sequence[str]
    classes: tuple[str, ...]
    probabilities: Array
    zero_shot: Array
    bad: Mapping[int, BadImage] = field(default_factory=dict)
    image: Array | None = None
    text: Array | None = None
    gamma: Array | None = None
    neighbors: NeighborColumns | None = None
    members: Array | None = None
    strangeness: Array | None = None
    rejected: Array | None = None
    encoder_said: Array | None = None
    encoder_share: Array | None = None
    known: Array | None = None
    columns: pa.Table | None = None
    places: Places | Sequence[Given] | None = None

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        classes: tuple[str, ...],
        bad: Mapping[int, BadImage],
        columns: Mapping[str, Array | None],
        near: NeighborColumns | None = None,
    ) -> Answers:
        """The answers of B images by columns, named as those here, and neighbours of the G that are not `bad`; none where all are."""
        good = np.ones(len(names), bool)
        good[list(bad)] = False
        if not good.any():
            nothing = np.full((len(names), len(classes)), np.nan, np.float32)
            return cls(names, classes, nothing, nothing, bad)
        whole: dict[str, Any] = {name: column if column is None else spread(column, good, ABSENT[name]) for name, column in columns.items()}
        if near is not None:
            near = replace(near, rows=spread(near.rows, good, -1), affinities=spread(near.affinities, good, np.nan))
        return cls(names, classes, bad=bad, **whole, neighbors=near)

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Prediction]:
        return map(self.row, range(len(self)))

    def row(self, row: int) -> Prediction:
        """What is said of one image."""
        own: dict[str, Any] = {
            "known": None if self.known is None else bool(self.known[row]),
            "columns": {} if self.columns is None else self.columns.slice(row, 1).to_pylist()[0],
        }
        if row in self.bad:
            return Prediction(self.names[row], self.classes, NOTHING, NOTHING, error=self.bad[row], **own)
        return Prediction(
            self.names[row],
            self.classes,
            self.probabilities[row],
            self.zero_shot[row],
            image=_at(self.image, row),
            text=_at(self.text, row),
            gamma=None if self.gamma is None else float(self.gamma[row]),
            neighbors=() if self.neighbors is None else self.neighbors.row(row),
            prediction_set=self._set(row),
            strangeness=None if self.strangeness is None else float(self.strangeness[row]),
            rejected=self.rejected is not None and bool(self.rejected[row]),
            encoder_said=() if self.encoder_said is None else tuple(self.classes[label] for label in self.encoder_said[row].tolist()),
            encoder_share=() if self.encoder_share is None else tuple(self.encoder_share[row].tolist()),
            **own,
        )

    @property
    def good(self) -> Array:
        """Which rows (B,) bool are of images that could be read."""
        rows = np.ones(len(self), bool)
        rows[list(self.bad)] = False
        return rows

    def best(self, count: int) -> Array:
        """The `count` most probable classes (B, at most N) int64 of each row, best first, among equals the first."""
        if count > FEW:
            order: Array = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :count]
            return order
        rows, left = np.arange(len(self)), np.nan_to_num(self.probabilities, copy=True)
        found = np.empty((len(self), min(count, len(self.classes))), np.int64)
        for place in range(found.shape[1]):
            found[:, place] = left.argmax(axis=1)
            left[rows, found[:, place]] = -1.0
        return found

    def _set(self, row: int) -> tuple[str, ...] | None:
        """The classes in the set of a row, the most probable first."""
        if self.members is None:
            return None
        order = np.argsort(-self.probabilities[row], kind="stable")
        return tuple(self.classes[label] for label in order[self.members[row][order]].tolist())


def spread(column: Array, good: Array, nothing: Any) -> Array:
    """A column (G, ...) of the good rows over all (B, ...), the others `nothing`; `good` is (B,) bool."""
    if len(column) == len(good):
        return column
    whole: Array = np.full((len(good), *column.shape[1:]), nothing, column.dtype)
    whole[good] = column
    return whole


def _at(column: Array | None, row: int) -> Array | None:
    return None if column is None else column[row]
