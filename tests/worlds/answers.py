"""Answers made up: of some images that cannot be read, of odd names, with all that can be asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from xmap.stages.images.decode import BadImage
from xmap.stages.predict.answers import Answers, NeighborColumns, spread
from xmap.store.formats.tables import Array

NAMES = ("a/0.png", "=1+1", 'quoted "x", y', "über\n.png", "tab\t", " b", "\udcff.png", "-2.png", "c/0.png", "\x1b[31m")


def some_answers(classes: int = 4, count: int = 40, seed: int = 0, full: bool = True) -> Answers:
    """Answers of `count` images, a few of them bad; with `full` with evidence, sets, rejection and columns of a user's table."""
    draw = np.random.default_rng(seed)
    good = draw.random(count) > 0.15

    def column(*shape: int, nothing: Any = np.nan) -> Array:
        return spread(draw.random((int(good.sum()), *shape)).astype(np.float32), good, nothing)

    chances = column(classes)
    # Equals among them, as of classes that are not probable at all.
    chances[np.round(chances) == 0] /= 2**20
    bad = {int(row): BadImage("empty", "the file has 0 bytes") for row in np.flatnonzero(~good)}
    more: dict[str, Any] = {}
    if full:
        members = chances > 0.6
        members[good, chances[good].argmax(axis=1)] = True
        rows = np.where(draw.random((count, 3)) > 0.2, draw.integers(0, 3, (count, 3)), -1)
        rows[~good] = -1
        table = pa.table({"price": list(range(count)), "Class": [f"=own{row}" for row in range(count)], "class": [None] * count})
        more = {
            "image": column(classes), "text": column(classes), "gamma": column(), "members": members & good[:, None],
            "strangeness": column().astype(np.float64), "rejected": (draw.random(count) > 0.7) & good,
            "neighbors": NeighborColumns(np.sort(rows)[:, ::-1], column(3), ("x", "y", "z"), ("c0", "c1", "c2")),
            "known": (draw.random(count) > 0.5) & good, "columns": table,
            "encoder_said": np.where(good[:, None], draw.integers(0, classes, (count, 2)), -1), "encoder_share": column(2),
        }  # fmt: skip
    names = tuple(NAMES[row % len(NAMES)] for row in range(count))
    return Answers(names, tuple(f"c{label}" for label in range(classes)), chances, chances[:, ::-1], bad, **more)
