"""Memory: how much a piece of work takes at its peak, how much there is, and what is freed kept while a model works."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from xmap.store.disk.memory_limit import unclaimed_bytes

STATUS, CLEAR, MEMINFO = Path("/proc/self/status"), Path("/proc/self/clear_refs"), Path("/proc/meminfo")
# What Linux takes as "forget the highest resident size so far".
RESET_PEAK = "5"
# glibc's numbers of the two thresholds, and its defaults.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
TRIM_DEFAULT, MMAP_DEFAULT = 128 << 10, 32 << 20
KEPT = (1 << 31) - 1


@dataclass
class Memory:
    """`peak_bytes`: on a GPU what torch had allocated on it, else the resident size of the process, libraries included.

    None where the system does not tell (Windows).
    """

    peak_bytes: int | None = None


@contextmanager
def peak_memory(device: str) -> Iterator[Memory]:
    """Measure the work inside; the figure is there afterwards.

    Where the system cannot forget earlier peaks (it can on Linux), the figure is the highest since the process began.
    """
    memory = Memory()
    if device == "cuda":
        # What decodes asks for memory without it.
        import torch

        torch.cuda.reset_peak_memory_stats()
    else:
        with suppress(OSError):
            CLEAR.write_text(RESET_PEAK)
    try:
        yield memory
    finally:
        memory.peak_bytes = torch.cuda.max_memory_allocated() if device == "cuda" else _resident_peak()


def available_bytes() -> int | None:
    """The memory that can be taken before the system swaps or kills; None where it does not tell (only Linux does)."""
    free = [unclaimed for unclaimed in [unclaimed_bytes()] if unclaimed is not None]
    with suppress(OSError):
        free += [int(line.split()[1]) * 1024 for line in MEMINFO.read_text().splitlines() if line.startswith("MemAvailable:")]
    return min(free, default=None)


def _resident_peak() -> int | None:
    try:
        import resource
    except ImportError:
        return None
    with suppress(OSError):
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@contextmanager
def kept_memory(device: str) -> Iterator[None]:
    """Keep what is freed on the CPU until the block ends, then give it back. Does nothing for a GPU, or where there is no glibc.

    A forward pass frees and asks for the same tens of megabytes again and again. By its defaults glibc gives such blocks back to the
    system at once, and each page of them is zeroed anew when it is next touched.
    """
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
