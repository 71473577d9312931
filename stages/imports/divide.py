"""Splits of vectors: those that are told, else drawn by the vectors themselves, so that none is on two sides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xmap.stages.config import DataConfig
from xmap.stages.datasets.dataset import SPLITS, TRAIN, order
from xmap.stages.datasets.places.columns import TEXT
from xmap.stages.datasets.splits.check import check_classes
from xmap.stages.datasets.splits.draw import draw_splits
from xmap.stages.datasets.splits.names import is_split, meanings, meanings_inside, read_as, says_splits
from xmap.stages.datasets.splits.units import Units
from xmap.store.disk.plain import named
from xmap.store.errors import InputError
from xmap.store.formats.tables import Array


def told_splits(
    column: pa.Array, labels: Array, classes: Sequence[str], place: str, called: str = ""
) -> tuple[Array | None, tuple[str, ...]]:
    """The splits (R,) int8 of a column, as `order` numbers them, -1 of a row without a label (R,); None where they divide nothing.

    And remarks. `called` is the name of a column that nobody chose by hand: it may say something else. Raises `InputError` for words
    that are no splits, for rows without one, and for a class without training images.
    """
    if pa.types.is_nested(column.type):
        raise InputError(f"{place}: its splits are {column.type}; write train, val or test.")
    known = labels >= 0
    written = pc.utf8_trim_whitespace(column.cast(pa.string())).fill_null("").dictionary_encode()
    words, codes = written.dictionary.to_pylist(), written.indices.to_numpy()
    used = {words[code] for code in np.unique(codes[known])}
    if called and not says_splits(called, used):
        return None, ()
    used -= {""}
    if not used:
        return None, ()
    meant = meanings_inside(used) or meanings(filter(is_split, used))
    lost = known & np.asarray([word not in meant for word in words])[codes]
    if lost.any():
        row = int(np.argmax(lost))
        raise InputError(
            f"{place} row {row:,} has the split {words[codes[row]]!r:.80}; write train, val or test for all rows with a label."
        )
    if len(set(meant.values())) == 1:
        return None, (f"all rows are in the split {named(sorted(used))}, which divides nothing",)
    splits = np.asarray([order(meant.get(word, "")) for word in words], np.int8)[codes]
    found = {split: {classes[label] for label in np.unique(labels[known & (splits == order(split))])} for split in SPLITS}
    remarks = check_classes({split: names for split, names in found.items() if names or split == TRAIN})
    return np.where(known, splits, -1).astype(np.int8), (*read_as(sorted(meant.items())), *remarks)


def drawn_splits(digests: Array, labels: Array, classes: Sequence[str], config: DataConfig) -> tuple[Array, tuple[str, ...]]:
    """The splits (R,) int8 that are drawn by the `digests` (R,) of the vectors, -1 of rows without a label; and remarks."""
    splits, known = np.full(len(labels), -1, np.int8), np.flatnonzero(labels >= 0)
    contents, numbers = np.unique(digests[known], return_inverse=True)
    units = Units(numbers.reshape(-1), contents, np.empty(0, TEXT))
    splits[known], remarks = draw_splits(labels[known], units, classes, config.split_seed, config.val_share, config.test_share)
    return splits, remarks
