"""Keeping freed memory while a model works: a forward pass frees and asks for the same tens of megabytes again and again.

By its defaults glibc gives such blocks back to the system at once, and each page of them is zeroed anew when it is next touched.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# glibc's numbers of the two thresholds, and its defaults.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
TRIM_DEFAULT, MMAP_DEFAULT = 128 << 10, 32 << 20
KEPT = (1 << 31) - 1


@contextmanager
def kept_memory(device: str) -> Iterator[None]:
    """Keep what is freed on the CPU until the block ends, then give it back. Does nothing for a GPU, or where there is no glibc."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" and device == "cpu" else None
    if libc is None or not (hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim")):
        yield
        return
    libc.mallopt(MMAP_THRESHOLD, KEPT >> 1)
    libc.mallopt(TRIM_THRESHOLD, KEPT)
    try:
        yield
    finally:
        libc.mallopt(MMAP_THRESHOLD, MMAP_DEFAULT)
        libc.mallopt(TRIM_THRESHOLD, TRIM_DEFAULT)
        libc.malloc_trim(0)
