"""The recall of an index against Flat, and the effort that reaches a wanted one.

Queries are validation features where there are some, for these come as a user's do; else keys of the cache at even steps, which
should find their nearest other keys.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from xmap.stages.fewshot.draw import even_rows
from xmap.store.formats.index import Chunks, Neighbors, VectorIndex
from xmap.store.formats.tables import Array

QUERIES, NEAREST = 500, 100
# A doubled effort that adds less is taken back.
LEAST_GAIN = 0.001


def raise_effort(index: VectorIndex, chunks: Chunks, wanted: float, queries: Array | None = None) -> float:
    """`double_effort` until the recall of `index` reaches `wanted`; the recall it has then.

    It is that of the unit `queries` (Q, C), or where there are none that of keys.
    """
    if queries is None:
        rows = even_rows(len(index), QUERIES)
        queries, exact = nearest_others_exactly(chunks, rows, NEAREST)
    else:
        rows = np.full(len(queries), -1)
        exact = nearest_exactly(chunks, queries, rows, NEAREST)
    return double_effort(index, wanted, lambda: recall(index, queries, rows, exact))


def double_effort(index: VectorIndex, wanted: float, measured: Callable[[], float]) -> float:
    """Double the effort of `index` until what is `measured` of its searches reaches `wanted` or hardly rises any more; what it is then."""
    found = measured()
    while found < wanted and index.effort is not None and index.effort < index.most_effort:
        before, effort = found, index.effort
        index.effort = min(2 * effort, index.most_effort)
        found = measured()
        if found < before + LEAST_GAIN:
            # What is missed lies in the codes: searching more would only be slower.
            index.effort = effort
            return before
    return found


def recall(index: VectorIndex, queries: Array, rows: Array, exact: Neighbors) -> float:
    """The share of the exact neighbours, the query's own row left out, that a search finds; 1 where there are none."""
    wide = exact.rows.shape[1]
    found = index.search(queries, wide + 1).rows if wide else exact.rows
    hits = [len(np.intersect1d(near[near != own][:wide], true)) for near, own, true in zip(found, rows, exact.rows, strict=True)]
    return sum(hits) / exact.rows.size if exact.rows.size else 1.0


def nearest_others_exactly(chunks: Chunks, rows: Array, k: int) -> tuple[Array, Neighbors]:
    """The keys (Q, C) at `rows`, and their `k` nearest others over all chunks."""
    queries = _at(chunks, rows)
    return queries, nearest_exactly(chunks, queries, rows, k)


def nearest_exactly(chunks: Chunks, queries: Array, own: Array, k: int) -> Neighbors:
    """The `k` nearest keys of `queries` (Q, C) over all chunks, without the row `own` (Q,) of each (-1: none)."""
    scores, found = np.empty((len(own), 0), np.float32), np.empty((len(own), 0), np.int64)
    start = 0
    for chunk in chunks():
        numbers = np.arange(start, start + len(chunk))
        here = np.where(numbers == own[:, None], -np.inf, queries @ chunk.T)
        # Only the best of a chunk can be among the best of all, and a sort of all would take longer than the product.
        near = np.argpartition(-here, min(k, len(chunk)) - 1, axis=1)[:, :k] if len(chunk) else np.empty((len(own), 0), np.int64)
        scores = np.concatenate([scores, np.take_along_axis(here, near, 1).astype(np.float32)], 1)
        found = np.concatenate([found, near + start], 1)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        scores, found = np.take_along_axis(scores, best, 1), np.take_along_axis(found, best, 1)
        start += len(chunk)
    kept = min(k, start - 1 if (own >= 0).any() else start)
    return Neighbors(scores[:, :kept], found[:, :kept])


def _at(chunks: Chunks, rows: Array) -> Array:
    """The keys at rising `rows`."""
    parts, start = [], 0
    for chunk in chunks():
        first, last = np.searchsorted(rows, (start, start + len(chunk)))
        parts.append(chunk[rows[first:last] - start])
        start += len(chunk)
    return np.concatenate(parts)
