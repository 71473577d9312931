"""The tables of one split of vectors, of which one at a time is filled."""

from __future__ import annotations

import numpy as np
from blake3 import blake3

from xmap.stages.imports.survey import Settled, Surveyed
from xmap.stages.names import part_of
from xmap.store.artifacts.artifact import Draft
from xmap.store.formats.features import ImageFeatures, write_images
from xmap.store.formats.tables import Array

# Bytes of vectors in one table.
TABLE = 32 << 20


class SplitTables:
    """Rows of one `split` on their way into the tables of a draft; `count` of them are written."""

    def __init__(self, draft: Draft, split: str, found: Surveyed, settled: Settled) -> None:
        self.split, self.count = split, 0
        self._draft, self._settled, self._dtype = draft, settled, found.dtype
        self._most = max(1, TABLE // (found.width * found.dtype.itemsize))
        self._rows: list[Array] = []
        self._vectors: list[Array] = []
        self._tables, self._waiting = 0, 0
        self._digests = {name: blake3() for name in ("ids", "labels", "features")}

    def add(self, rows: Array, vectors: Array) -> None:
        """Add rows (B,) by number, and their vectors (B, C)."""
        self._rows.append(rows)
        self._vectors.append(vectors.astype(self._dtype, copy=False))
        self._waiting += len(rows)
        if self._waiting >= self._most:
            self._write()

    def close(self) -> int:
        """How many rows there are, all of them written."""
        if self._waiting:
            self._write()
        return self.count

    @property
    def part(self) -> str:
        """The fingerprint of the split: that of its ids, labels and vectors, whatever files they came in."""
        return part_of({name: digest.hexdigest() for name, digest in self._digests.items()})

    def _write(self) -> None:
        rows, vectors = np.concatenate(self._rows), np.concatenate(self._vectors)
        ids, labels = self._settled.ids.take(rows).to_pylist(), self._settled.classes.labels[rows]
        table = ImageFeatures(tuple(ids), labels, np.zeros(len(ids), np.int16), vectors)
        write_images(self._draft.path / f"{self.split}-{self._tables:05}.parquet", table, self.split, self._draft.identity.fingerprint)
        for name, data in (("ids", "\0".join((*ids, "")).encode()), ("labels", labels.tobytes()), ("features", vectors.tobytes())):
            self._digests[name].update(data)
        self.count, self._tables, self._waiting = self.count + len(ids), self._tables + 1, 0
        self._rows, self._vectors = [], []
