"""The images of a split as the search for pairs sees them: each content once, as a unit vector."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from os import SEEK_END
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa

from xmap.stages.fewshot.draw import feature_files
from xmap.store.artifacts.artifact import Artifact
from xmap.store.formats.feature_rows import KEY, column_keys
from xmap.store.formats.features import read_parts
from xmap.store.formats.samples import REFERRING, SAMPLES, makers_of
from xmap.store.formats.tables import Array, read_table

# Vectors that are in memory at once, beside an index.
CHUNK = 16_384


@dataclass(frozen=True)
class Images:
    """The readable images of one split: `ids` (R), `labels` (R,) int32, `keys` (R,) their contents, and of each file its plain rows."""

    split: str
    ids: pa.ChunkedArray
    labels: Array
    keys: Array
    files: tuple[tuple[Path, Array], ...]

    @classmethod
    def of(cls, images: Artifact, split: str) -> Images:
        """Raises `ArtifactDamaged`."""
        tables, files, start = [], [], 0
        for path in feature_files(images, split):
            refers = bool(makers_of(path))
            table = read_table(path, types=REFERRING if refers else SAMPLES)
            plain = np.flatnonzero(table["view"].to_numpy() == 0)
            table = table.take(plain)
            # Of version 1 nothing says which bytes a row is of: no two are called alike.
            known = column_keys(table["content"], table["view"]) if refers else _named(split, start, len(table))
            tables.append((table["sample_id"], table["label"].to_numpy(), known))
            files.append((path, plain))
            start += len(table)
        ids = pa.chunked_array([chunk for found, _, _ in tables for chunk in found.chunks], pa.string())
        labels = np.concatenate([np.empty(0, np.int32), *(found for _, found, _ in tables)])
        return cls(split, ids, labels, np.concatenate([np.empty(0, KEY), *(found for _, _, found in tables)]), tuple(files))

    def __len__(self) -> int:
        return len(self.keys)

    @cached_property
    def _distinct(self) -> tuple[Array, Array]:
        """The first row of each content, rising, and the number of each row's content among them."""
        _, first, inverse = np.unique(self.keys, return_index=True, return_inverse=True)
        order = np.argsort(first)
        return first[order], np.argsort(order)[inverse]

    @property
    def first(self) -> Array:
        """The first row of each content (D,), rising: contents are numbered by it."""
        return self._distinct[0]

    def find(self, keys: Array) -> tuple[Array, Array]:
        """Which of `keys` (Q,) bool are contents of these images, and the first row of each (Q,); of others it means nothing."""
        known = self.keys[self.first]
        order = np.argsort(known)
        places = order[np.searchsorted(known, keys, sorter=order).clip(max=len(known) - 1)]
        return known[places] == keys, self.first[places]

    def rows_of(self, numbers: Array) -> tuple[Array, Array]:
        """All rows (P,) of the contents `numbers` (Q,), and for each the place in `numbers` (P,) that it is of."""
        number = self._distinct[1]
        sizes = np.bincount(number, minlength=len(self.first))
        ends, counts = np.cumsum(sizes), sizes[numbers]
        asked = np.repeat(np.arange(len(numbers)), counts)
        within = np.arange(len(asked)) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.argsort(number, kind="stable")[(ends - sizes)[numbers][asked] + within], asked

    def units(self) -> Iterator[Array]:
        """The unit features of each content once, in the order of `first`, some files at a time."""
        starts = np.cumsum([0, *(len(plain) for _, plain in self.files)])
        chosen = (
            (path, plain[self.first[slice(*np.searchsorted(self.first, (start, start + len(plain))))] - start])
            for (path, plain), start in zip(self.files, starts[:-1], strict=True)
        )
        for part in read_parts((path, rows) for path, rows in chosen if len(rows)):
            vectors = part.features.astype(np.float32)
            yield vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12)


def _named(split: str, start: int, count: int) -> Array:
    return np.asarray([f"{split} {row}".encode() for row in range(start, start + count)], KEY)


class Units:
    """The unit vectors (D, C) of the contents of `images` in a `scratch` file, read a chunk at a time or by rows."""

    def __init__(self, images: Images, scratch: IO[bytes]) -> None:
        self._scratch, self._start = scratch, scratch.seek(0, SEEK_END)
        self.images, self.width = images, 1
        for part in images.units():
            self.width = part.shape[1]
            scratch.write(part.tobytes())
        scratch.flush()

    def __len__(self) -> int:
        return len(self.images.first)

    def chunks(self) -> Iterator[Array]:
        """The vectors in order, some at a time."""
        for start in range(0, len(self), CHUNK):
            self._scratch.seek(self._start + start * self.width * 4)
            data = self._scratch.read(min(CHUNK, len(self) - start) * self.width * 4)
            yield np.frombuffer(data, np.float32).reshape(-1, self.width)

    def take(self, numbers: Array) -> Array:
        """The vectors (Q, C) of the given contents."""
        whole = np.memmap(self._scratch, np.float32, "r", self._start, (len(self), self.width))
        return np.asarray(whole[numbers])
