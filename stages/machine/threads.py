"""How many threads load images, and how many processes help them."""

from __future__ import annotations

import os

# Threads that get along in one process; images that are loaded before processes have paid for their start; the most threads unasked.
TOGETHER, FEW, MOST = 4, 4_096, 16


def unhelped_threads(asked: int | None) -> int:
    """How many threads load images in one process that no other helps: as many as `asked` for, or as get along."""
    return TOGETHER if asked is None else asked


def loading_threads(device: str, images: int, asked: int | None = None) -> int:
    """How many threads load so many images for an encoder on `device` (cpu or cuda): as many as `asked` for, or as it can use."""
    if asked is None and device == "cuda" and images > FEW:
        return max(TOGETHER, min(_cores(), MOST))
    return unhelped_threads(asked)


def loading_processes(device: str, images: int, threads: int) -> int:
    """How many processes help so many threads to load images for an encoder on `device`; on the CPU it is the encoder that takes time."""
    return threads if device == "cuda" and threads > TOGETHER and images > FEW else 0


def _cores() -> int:
    # macOS does not tell which a process may use.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
