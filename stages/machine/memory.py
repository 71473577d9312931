"""How much memory a piece of work takes at its peak."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

STATUS, CLEAR, MEMINFO = Path("/proc/self/status"), Path("/proc/self/clear_refs"), Path("/proc/meminfo")
# What Linux takes as "forget the highest resident size so far".
RESET_PEAK = "5"


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
    with suppress(OSError):
        for line in MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


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
