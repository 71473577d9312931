"""How an index file is opened: read whole, or mapped where it is large, held against its size, and without the files that it names."""

from __future__ import annotations

import struct
import threading
from pathlib import Path
from typing import Any

from xmap.store.disk.files import odd_below, open_plain
from xmap.store.errors import ArtifactDamaged, require_of_file
from xmap.store.formats.tables import REMEDY

# faiss's ordinary reader refuses whatever ends early; its mapped one may read on and take the process with it. So only what is
# large is mapped, where reading it all would cost.
MAPPED_FROM = 1 << 28
# How a file begins: its kind, the width of its keys and how many they are. The kinds are those that are mapped with the keys in them as
# they are (exact ones, graphs over such) and the inverted lists, by the first letters.
HEAD, WHOLE_KEYS, LISTS = struct.Struct("<4siq"), (b"IxFI", b"IHNf"), b"Iw"
# The limits of faiss's reader are one for the whole process.
_READING = threading.Lock()


def open_index(faiss: Any, path: Path) -> Any:
    """The index in a file, as faiss has it. Raises `ArtifactDamaged`."""
    mapped = path.is_file() and path.stat().st_size >= MAPPED_FROM
    # An index may name a file of its lists. One flag keeps that to its own folder, where then no link may lead on.
    for found in odd_below(path.parent):
        raise ArtifactDamaged(found.path, found.problem, REMEDY)
    for flags in _mappings(faiss, path) if mapped else [0]:
        try:
            index = _read(faiss, path, flags | faiss.IO_FLAG_ONDISK_SAME_DIR)
            if not mapped and _lists_elsewhere(faiss, index):
                raise ArtifactDamaged(path, "its lists are said to lie in another file", REMEDY)
            if index.metric_type != faiss.METRIC_INNER_PRODUCT or index.ntotal < 0:
                raise ArtifactDamaged(path, "it does not compare by inner products", REMEDY)
            return _without_prefetch(faiss, index)
        except (RuntimeError, MemoryError) as error:
            problem = error
    try:
        # faiss says in words of its own what the system said.
        open_plain(path).close()
    except OSError as error:
        require_of_file(path, error)
    raise ArtifactDamaged(path, "faiss cannot read it", REMEDY) from problem


def _mappings(faiss: Any, path: Path) -> list[int]:
    """The flags to map a file by, one after the other. Raises `ArtifactDamaged` for one that is smaller than the keys it states."""
    with open(path, "rb") as file:
        head = file.read(HEAD.size)
    kind, width, count = HEAD.unpack(head.ljust(HEAD.size, b"\0"))
    if kind in WHOLE_KEYS and 4 * width * count + HEAD.size > path.stat().st_size:
        raise ArtifactDamaged(path, f"faiss cannot read it: it states {count:,} keys of width {width}, which it has no room for", REMEDY)
    # One flag maps Flat and HNSW, the other inverted lists, and faiss refuses lists where both are given.
    exact, lists = faiss.IO_FLAG_MMAP_IFC | faiss.IO_FLAG_READ_ONLY, faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY
    # The reader that maps lists checks the rest as it reads it; the other would take lists that end within a number.
    return [lists] if kind.startswith(LISTS) else [exact, lists]


def _lists_elsewhere(faiss: Any, index: Any) -> bool:
    """Whether the lists of an index are in a file of their own, which no index of xmap's has."""
    lists = faiss.try_extract_index_ivf(index)
    return lists is not None and isinstance(faiss.downcast_InvertedLists(lists.invlists), faiss.OnDiskInvertedLists)


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


def _without_prefetch(faiss: Any, index: Any) -> Any:
    """The index without the 32 threads that faiss starts in each search to touch mapped lists: the scan comes as fast itself."""
    lists = faiss.try_extract_index_ivf(index)
    mapped: Any = faiss.downcast_InvertedLists(lists.invlists) if lists is not None else None
    if hasattr(mapped, "prefetch_nthread"):
        mapped.prefetch_nthread = 0
    return index
