"""Vector indexes over cache keys: the only module that imports faiss.

Scores are inner products. `Flat` is exact and, at few-shot size, the fastest; any other FAISS factory string is for stores
that outgrow memory. faiss's bare assertions and C++ texts become xmap's errors here.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from store.errors import ArtifactDamaged, InputError
from store.files import atomic_file
from store.tables import REMEDY, Array

FLAT = "Flat"
# faiss's ordinary reader refuses whatever ends early; its mapped one reads on and takes the process with it. So only what is
# large is mapped, where reading it all would cost.
MAPPED_FROM = 1 << 28
# The limits of faiss's reader are one for the whole process.
_READING = threading.Lock()


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
        faiss = _faiss()
        vectors = _matrix(keys, keys.shape[-1])
        try:
            index = faiss.index_factory(vectors.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
            if not index.is_trained:
                index.train(vectors)
            index.add(vectors)
        except (RuntimeError, AssertionError) as error:
            problem = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
            raise InputError(f"faiss cannot build index {factory!r} over {len(vectors)} keys: {problem}; try --index Flat.") from error
        return cls(index)

    @classmethod
    def load(cls, path: Path, mapped: bool | None = None) -> VectorIndex:
        """Open an index file, memory-mapped where it is large unless `mapped` says. Raises `ArtifactDamaged`."""
        faiss = _faiss()
        mapped = _is_large(path) if mapped is None else mapped
        # One flag maps Flat and HNSW, the other inverted lists, and faiss refuses lists where both are given.
        ways = [faiss.IO_FLAG_MMAP_IFC | faiss.IO_FLAG_READ_ONLY, faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY] if mapped else [0]
        if mapped and _fourcc(path).startswith(b"Iw"):
            ways.reverse()
        for flags in ways:
            try:
                return cls(_read(faiss, path, flags))
            except (RuntimeError, MemoryError) as error:
                problem = error
        raise ArtifactDamaged(path, "faiss cannot read it", REMEDY) from problem

    def save(self, path: Path) -> None:
        """Write the index to `path`, whole or not at all; streamed, never a second copy in memory."""
        faiss = _faiss()
        with atomic_file(path) as file:
            writer = faiss.PyCallbackIOWriter(file.write)
            faiss.write_index(self._index, writer)

    def search(self, queries: Array, k: int) -> Neighbors:
        """The `k` best keys (at most all) of each query (B, C). Raises `InputError`."""
        vectors = _matrix(queries, self.width)
        if k < 1 or not len(self):
            return Neighbors(np.empty((len(vectors), 0), np.float32), np.empty((len(vectors), 0), np.int64))
        try:
            scores, rows = self._index.search(vectors, min(k, len(self)))
        except RuntimeError as error:
            # The parts of a damaged index need not fit each other.
            raise InputError("faiss cannot search this index; run `xmap verify` to see whether it is damaged.") from error
        scores[rows < 0] = -np.inf
        return Neighbors(scores, rows)

    def keys(self) -> Array:
        """All keys (M, C) float32 in row order, as far as the index keeps them exactly."""
        vectors: Array = self._index.reconstruct_n(0, len(self))
        return vectors

    @property
    def width(self) -> int:
        return int(self._index.d)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def on_gpu(self) -> VectorIndex:
        """A clone on all GPUs; raises `InputError` where faiss sees none."""
        faiss = _faiss()
        if gpu_count() == 0:
            raise InputError("faiss sees no GPU; use --device cpu, or check the driver with `xmap doctor`.")
        return VectorIndex(faiss.index_cpu_to_all_gpus(self._index))


def gpu_count() -> int:
    """How many GPUs faiss sees (0 for a build without GPU support)."""
    faiss = _faiss()
    return int(faiss.get_num_gpus()) if hasattr(faiss, "get_num_gpus") else 0


def _faiss() -> Any:
    # Imported late: planning and `--help` need no index. torch goes first, the order in which the two OpenMP runtimes agree.
    import torch  # noqa: F401, I001
    import faiss

    return faiss


def _is_large(path: Path) -> bool:
    return path.is_file() and path.stat().st_size >= MAPPED_FROM


def _fourcc(path: Path) -> bytes:
    """The four letters that say what kind of index a file holds; none where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(4)
    except OSError:
        return b""


def _read(faiss: Any, path: Path, flags: int) -> Any:
    """`faiss.read_index`, which allocates what a damaged header asks for unless it is told that no part exceeds the file."""
    if not hasattr(faiss, "set_deserialization_vector_byte_limit") or not path.is_file():
        return faiss.read_index(str(path), flags)
    with _READING:
        usual = faiss.get_deserialization_vector_byte_limit()
        faiss.set_deserialization_vector_byte_limit(path.stat().st_size)
        try:
            return faiss.read_index(str(path), flags)
        finally:
            faiss.set_deserialization_vector_byte_limit(usual)


def _matrix(vectors: Array, width: int) -> Array:
    if vectors.ndim != 2 or vectors.shape[1] != width:
        raise InputError(f"expected vectors of width {width}, got shape {tuple(vectors.shape)}; were they made by another encoder?")
    return np.ascontiguousarray(vectors, dtype=np.float32)
