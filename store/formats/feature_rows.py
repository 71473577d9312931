"""Feature rows: an image's content, the number of a view and a vector; and the one number by which such a row is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from xmap.store.formats.tables import Array

ROWS = pa.schema([("content", pa.binary(32)), ("view", pa.int16())])
# A content (32 bytes) and a view (2, the higher byte first): one number to sort and search by.
KEY = np.dtype("S34")


@dataclass(frozen=True)
class Rows:
    """Feature rows: `contents` the blake3 of the bytes of images (R,) in hex, `views` (R,) int16, `features` (R, C), not normalised."""

    contents: Sequence[str]
    views: Array
    features: Array

    def __len__(self) -> int:
        return len(self.contents)

    @classmethod
    def joined(cls, parts: Sequence[Rows]) -> Rows:
        """The rows of several, one after the other."""
        contents = [content for part in parts for content in part.contents]
        return cls(contents, *(np.concatenate([getattr(part, name) for part in parts]) for name in ("views", "features")))

    def take(self, rows: Array) -> Rows:
        """The given rows, in the given order."""
        return Rows([self.contents[int(row)] for row in rows], self.views[rows], self.features[rows])


def keys_of(contents: Sequence[str], views: Array) -> Array:
    """What rows are found by (R,), of contents in hex and the numbers of views (R,)."""
    return _keys(bytes.fromhex("".join(contents)), views)


def digest_keys(contents: Array, views: Array) -> Array:
    """What rows are found by (R,), of contents as 32 bytes each (R,) and the numbers of views (R,)."""
    return _keys(contents.tobytes(), views)


def column_keys(contents: pa.ChunkedArray, views: pa.ChunkedArray) -> Array:
    """What rows are found by (R,), of a column of contents and one of views."""
    joined = b"".join(
        bytes(chunk.buffers()[1])[32 * chunk.offset : 32 * (chunk.offset + len(chunk))] for chunk in contents.chunks if len(chunk)
    )
    return _keys(joined, views.to_numpy())


def _keys(contents: bytes, views: Array) -> Array:
    parts = np.frombuffer(contents, np.uint8).reshape(-1, 32), views.astype(">i2").view(np.uint8).reshape(-1, 2)
    keys: Array = np.ascontiguousarray(np.concatenate(parts, axis=1)).view(KEY).reshape(-1)
    return keys
