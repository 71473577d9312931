"""What the processor has, as Linux tells it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

PROCESSOR = Path("/proc/cpuinfo")


@lru_cache
def processor_flags() -> frozenset[str]:
    """The flags of the first processor, such as `avx2`; nothing on other systems."""
    try:
        lines = PROCESSOR.read_text(errors="replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), []))
