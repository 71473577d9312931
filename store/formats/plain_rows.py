"""The plain features of stored images in order, some at a time: however many there are, few are in memory, and none has an object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from xmap.store.formats.feature_rows import column_keys
from xmap.store.formats.packs import Packs
from xmap.store.formats.samples import CONTENT, REFERRING, SAMPLES, makers_of
from xmap.store.formats.tables import Array, read_table, vector_batches

# Rows that are read at once.
PART = 1 << 14


@dataclass(frozen=True, eq=False)
class PlainRows:
    """Images: their ids (n) as Arrow's texts, raw features (n, C), and their contents (n,), 32 bytes each, None where not known."""

    sample_ids: pa.Array
    features: Array
    contents: Array | None

    def __len__(self) -> int:
        return len(self.sample_ids)

    def cut(self, start: int, stop: int) -> PlainRows:
        """Some of them that follow one another."""
        contents = None if self.contents is None else self.contents[start:stop]
        return PlainRows(self.sample_ids[start:stop], self.features[start:stop], contents)


def plain_rows(tables: Sequence[Path], size: int) -> Iterator[PlainRows]:
    """The plain rows of tables of one artifact's images, `size` at a time but for the last. Raises `ArtifactDamaged`."""
    return _cut((rows for path in tables for rows in _read(path) if len(rows)), size)


def _read(path: Path) -> Iterator[PlainRows]:
    makers = makers_of(path)
    if not makers:
        for table, features in vector_batches(path, SAMPLES, PART):
            plain = table["view"].to_numpy() == 0
            ids = table["sample_id"].combine_chunks()
            yield PlainRows(ids, features, None) if plain.all() else PlainRows(ids.filter(pa.array(plain)), features[plain], None)
        return
    table = read_table(path, types=REFERRING)
    table = table.filter(pa.array(table["view"].to_numpy() == 0)).combine_chunks()
    # <root>/images/<folder>/<table>
    packs, keys = Packs(path.parents[2], makers[0][0]), column_keys(table[CONTENT.name], table["view"])
    starts = range(0, len(keys), PART)
    for start, features in zip(starts, packs.stream(keys, [len(keys[start : start + PART]) for start in starts]), strict=True):
        part = table.slice(start, PART)
        contents = np.frombuffer(keys[start : start + PART].tobytes(), np.uint8).reshape(-1, keys.itemsize)[:, :32]
        yield PlainRows(part["sample_id"].combine_chunks(), features, np.ascontiguousarray(contents).view("S32").reshape(-1))


def _cut(parts: Iterable[PlainRows], size: int) -> Iterator[PlainRows]:
    """The same rows in parts of one size; what a part leaves over goes to the next."""
    left: list[PlainRows] = []
    for part in parts:
        start, lacking = 0, size - sum(map(len, left))
        while len(part) - start >= lacking:
            yield _joined([*left, part.cut(start, start + lacking)])
            left, start, lacking = [], start + lacking, size
        if start < len(part):
            left.append(part.cut(start, len(part)))
    if left:
        yield _joined(left)


def _joined(parts: Sequence[PlainRows]) -> PlainRows:
    if len(parts) == 1:
        return parts[0]
    contents = [part.contents for part in parts if part.contents is not None]
    return PlainRows(
        pa.concat_arrays([part.sample_ids for part in parts]),
        np.concatenate([part.features for part in parts]),
        np.concatenate(contents) if len(contents) == len(parts) else None,
    )
