"""Vector indexes over cache keys, in FAISS.

Scores are inner products. `Flat` is exact and, at few-shot size, the fastest; any other FAISS factory string is for stores
that outgrow memory. faiss's bare assertions and C++ texts become xmap's errors here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xmap.store.disk.files import atomic_file
from xmap.store.errors import InputError
from xmap.store.formats.faiss_library import load_faiss
from xmap.store.formats.index_file import open_index
from xmap.store.formats.tables import Array

FLAT = "Flat"
# What k-means learns from: keys a list of an IVF index, and at least so many in all (a product quantiser's 256 words want them).
SAMPLE_PER_LIST, LEAST_SAMPLE = 40, 65_536
# Keys that the coarse codes of a `...,Refine(...)` index hand to its fine ones, for each that is asked for: at 1, faiss's default,
# the coarse codes decide alone.
CANDIDATES = 8.0
# Queries searched at a time, and of an IVF index queries times the lists they search: faiss keeps books on each (some 25 bytes).
SEARCHED, SEARCHED_LISTS = 16_384, 1 << 23

Chunks = Callable[[], Iterable[Array]]


@dataclass(frozen=True)
class Neighbors:
    """The nearest keys of each query: `scores` (B, k) float32 inner products and `rows` (B, k) int64, best first.

    Where an approximate index finds fewer than k, the rest has row -1 and score -inf.
    """

    scores: Array
    rows: Array


class VectorIndex:
    """A FAISS index over keys (M, C), searched by inner product."""

    def __init__(self, index: Any) -> None:
        self._index = index

    @classmethod
    def build(cls, keys: Array, factory: str = FLAT) -> VectorIndex:
        """Index `keys` (M, C) by a FAISS factory string. Raises `InputError` for a string faiss refuses."""
        return cls.build_in_chunks(lambda: [keys], len(keys), keys.shape[-1], factory)

    @classmethod
    def build_in_chunks(cls, chunks: Chunks, total: int, width: int, factory: str = FLAT) -> VectorIndex:
        """Index `total` keys of `width` that come in chunks (m, C); an index that learns anything learns it on a sample of them.

        Memory holds the index, the sample and one chunk. `chunks()` is called once for the sample, where one is needed, and
        once for the keys. Raises `InputError` for a string faiss refuses.
        """
        faiss = load_faiss()
        try:
            index = faiss.index_factory(width, factory, faiss.METRIC_INNER_PRODUCT)
            outer = faiss.downcast_index(index)
            if hasattr(outer, "k_factor"):
                outer.k_factor = CANDIDATES
            if not index.is_trained:
                index.train(_sample(chunks(), total, width, _wanted(faiss, index)))
            _reserve(faiss, index, total)
            for chunk in chunks():
                index.add(_matrix(chunk, width))
        except (RuntimeError, AssertionError) as error:
            problem = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
            raise InputError(f"faiss cannot build index {factory!r} over {total} keys: {problem}; try --index Flat.") from error
        return cls(index)

    @classmethod
    def load(cls, path: Path) -> VectorIndex:
        """Open an index file, memory-mapped where it is large. Raises `ArtifactDamaged`."""
        return cls(open_index(load_faiss(), path))

    def save(self, path: Path) -> None:
        """Write the index to `path`, whole or not at all; streamed, never a second copy in memory."""
        faiss = load_faiss()
        with atomic_file(path) as file:
            writer = faiss.PyCallbackIOWriter(file.write)
            faiss.write_index(self._index, writer)

    def search(self, queries: Array, k: int) -> Neighbors:
        """The `k` best keys (at most all) of each query (B, C), in bounded memory beside the answer. Raises `InputError`."""
        vectors = _matrix(queries, self.width)
        if k < 1 or not len(self):
            return Neighbors(np.empty((len(vectors), 0), np.float32), np.empty((len(vectors), 0), np.int64))
        size = min(SEARCHED, max(1, SEARCHED_LISTS // (self.effort or 1)))
        try:
            parts = [self._index.search(vectors[start : start + size], min(k, len(self))) for start in range(0, max(len(vectors), 1), size)]
        except RuntimeError as error:
            # The parts of a damaged index need not fit each other.
            raise InputError("faiss cannot search this index; run `xmap verify` to see whether it is damaged.") from error
        scores, rows = (np.concatenate(found) for found in zip(*parts, strict=True))
        if len(rows) and (int(rows.max(initial=-1)) >= len(self) or np.isnan(scores).any()):
            raise InputError("this index finds keys that it does not have; run `xmap verify` to see what is damaged.")
        scores[rows < 0] = -np.inf
        return Neighbors(scores, rows)

    def keys(self, rows: slice = slice(None)) -> Array:
        """Keys (M, C) float32 in row order, all or a run of them, as far as the index keeps them exactly."""
        start, stop, _ = rows.indices(len(self))
        vectors: Array = self._index.reconstruct_n(start, stop - start)
        return vectors

    @property
    def effort(self) -> int | None:
        """How much a query searches: lists of an IVF index, candidates of an HNSW one; None for what has no such choice."""
        found = self._searched()
        return None if found is None else int(getattr(*found))

    @effort.setter
    def effort(self, value: int) -> None:
        found = self._searched()
        if found is not None:
            setattr(*found, value)

    @property
    def most_effort(self) -> int:
        """The effort beyond which a search finds no more."""
        lists = load_faiss().try_extract_index_ivf(self._index)
        return int(lists.nlist) if lists is not None else len(self)

    def _searched(self) -> tuple[Any, str] | None:
        """The object and the field of it that hold the effort; faiss writes both into the index file."""
        faiss = load_faiss()
        lists = faiss.try_extract_index_ivf(self._index)
        if lists is not None:
            return lists, "nprobe"
        inner = faiss.downcast_index(self._index)
        inner = faiss.downcast_index(inner.base_index) if hasattr(inner, "base_index") else inner
        return (inner.hnsw, "efSearch") if hasattr(inner, "hnsw") else None

    @property
    def width(self) -> int:
        return int(self._index.d)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def on_gpu(self) -> VectorIndex:
        """A clone on all GPUs; raises `InputError` where faiss sees none, and for an index that faiss has only on the CPU."""
        faiss = load_faiss()
        if gpu_count() == 0:
            raise InputError("faiss sees no GPU; use --device cpu, or check the driver with `xmap doctor`.")
        try:
            return VectorIndex(faiss.index_cpu_to_all_gpus(self._index))
        except RuntimeError as error:
            raise InputError("faiss has no GPU form of this index; use --device cpu, or --index Flat or IVF...,Flat.") from error


def gpu_count() -> int:
    """How many GPUs faiss sees (0 for a build without GPU support)."""
    faiss = load_faiss()
    return int(faiss.get_num_gpus()) if hasattr(faiss, "get_num_gpus") else 0


def _wanted(faiss: Any, index: Any) -> int:
    """How many keys are enough to train on."""
    lists = faiss.try_extract_index_ivf(index)
    return max(LEAST_SAMPLE, SAMPLE_PER_LIST * int(lists.nlist) if lists is not None else 0)


def _sample(chunks: Iterable[Array], total: int, width: int, wanted: int) -> Array:
    """All of `total` keys, or `wanted` of them at even steps: (S, C)."""
    rows = np.arange(total) if total <= wanted else np.linspace(0, total - 1, wanted).astype(np.int64)
    sample, start = np.empty((len(rows), width), np.float32), 0
    for chunk in chunks:
        first, last = np.searchsorted(rows, (start, start + len(chunk)))
        sample[first:last] = _matrix(chunk, width)[rows[first:last] - start]
        start += len(chunk)
    return sample


def _reserve(faiss: Any, index: Any, total: int) -> None:
    """Take the room of all codes at once: growing by doubling would need up to twice as much for a moment."""
    inner = faiss.downcast_index(index)
    # What refines holds the larger codes.
    inner = faiss.downcast_index(inner.refine_index) if hasattr(inner, "refine_index") else inner
    codes: Any = getattr(inner, "codes", None)
    if hasattr(codes, "resize"):
        codes.resize(total * int(inner.sa_code_size()))
        codes.resize(0)


def _matrix(vectors: Array, width: int) -> Array:
    if vectors.ndim != 2 or vectors.shape[1] != width:
        raise InputError(f"expected vectors of width {width}, got shape {tuple(vectors.shape)}; were they made by another encoder?")
    return np.ascontiguousarray(vectors, dtype=np.float32)
