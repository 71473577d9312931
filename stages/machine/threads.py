"""How many threads load images, and how many processes help them."""

from __future__ import annotations

import os

# Threads that get along in one process; images that are loaded before processes have paid for their start; the most threads unasked.
TOGETHER, FEW, MOST = 4, 4_096, 16


def threads_for(device: str, images: int, asked: int | None = None) -> int:
    """How many threads load so many images for an encoder on `device` (cpu or cuda): as many as `asked` for, or as it can use."""
    if asked is not None:
        return asked
    return max(TOGETHER, min(_cores(), MOST)) if device == "cuda" and images > FEW else TOGETHER


def processes_for(device: str, images: int, threads: int) -> int:
    """How many processes help so many threads to load images for an encoder on `device`; on the CPU it is the encoder that takes time."""
    return threads if device == "cuda" and threads > TOGETHER and images > FEW else 0


def _cores() -> int:
    # macOS does not tell which a process may use.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
