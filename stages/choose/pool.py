"""Which images of a pool are worth a look: those that nobody has labelled, each once, and that a table can name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from xmap.stages.datasets.content.hashing import hash_places, with_contents
from xmap.stages.datasets.dataset import Dataset, known_contents
from xmap.stages.datasets.open import open_pool
from xmap.stages.datasets.places.columns import Array, texts
from xmap.stages.datasets.sources.corrections import rows_named
from xmap.store.artifacts.artifact import Artifact
from xmap.store.disk.plain import CONTROLS
from xmap.store.errors import InputError
from xmap.store.formats.samples import contents_of
from xmap.store.memory.notes import Notes

# Why an image is left out, in the order in which it is asked.
REASONS = {
    "nameless": "of a name that no table can hold",
    "labelled": "labelled already, byte for byte",
    "given": "with a label in the tables of --labels",
    "repeated": "there more than once",
}


def read_pool(data: str, notes: Notes, images: Artifact, labels: Sequence[str]) -> tuple[Dataset, dict[str, int]]:
    """The images at `data` that are neither among the labelled `images`, whatever their split, nor in the tables at `labels`.

    Beside them how many of the others there are, by why they are left out. Raises `InputError` where none is left.
    """
    pool = with_contents(open_pool(data, notes), partial(hash_places, notes=notes))
    contents, ids = known_contents(pool.samples), list(texts(pool.samples.ids))
    readable, stay, left_out = contents != b"", np.ones(len(ids), bool), dict[str, int]()
    reasons: Mapping[str, Callable[[], Array]] = {
        "nameless": lambda: np.fromiter((bool(CONTROLS.search(sample_id)) for sample_id in ids), bool, len(ids)),
        "labelled": lambda: readable & np.isin(contents, contents_of(images)),
        "given": lambda: _given(pool, labels),
        "repeated": lambda: readable & ~_first(contents, stay),
    }
    for why, found in reasons.items():
        rows = found() & stay
        left_out[why] = int(rows.sum())
        stay &= ~rows
    if not stay.any():
        listed = ", ".join(said_of(left_out))
        raise InputError(f"of the {len(ids):,} images of {data} none is left to label: {listed}; give other images.")
    return pool.taking(np.flatnonzero(stay)), left_out


def said_of(left_out: Mapping[str, int]) -> list[str]:
    """Why images were left out, with how many, in words."""
    return [f"{count:,} {REASONS[why]}" for why, count in left_out.items() if count]


def _given(pool: Dataset, labels: Sequence[str]) -> Array:
    rows = np.zeros(len(pool.samples), bool)
    rows[rows_named(pool, labels)] = True
    return rows


def _first(contents: Array, among: Array) -> Array:
    """Whether each content (n,) is there for the first time among some of them (n,) bool."""
    rows, found = np.flatnonzero(among), np.zeros(len(contents), bool)
    found[rows[np.unique(contents[rows], return_index=True)[1]]] = True
    return found
