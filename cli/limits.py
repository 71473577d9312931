"""What a query may cost: a time after which the process ends whatever it is in, and memory that the system itself refuses."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xmap.cli.console import warn
from xmap.cli.ends import WRONG

# Seconds in which a query that was told to stop does so, unless it is within one long step.
GRACE = 3.0
# Bytes beside those that the database counts: the answer, and what the database does not count.
BESIDE = 2 << 30
STATUS = Path("/proc/self/status")


@contextmanager
def bounded(seconds: float | None, memory: int, sentence: str) -> Iterator[None]:
    """Run the block in at most so many seconds, else end the process with `sentence`, and in `memory` bytes and some beside."""
    clock = threading.Timer((seconds or 0) + GRACE, _end, [sentence])
    clock.daemon = True
    before = resource.getrlimit(resource.RLIMIT_DATA)
    if seconds is not None:
        clock.start()
    _limit(memory + BESIDE, *before)
    try:
        yield
    finally:
        clock.cancel()
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _limit(more: int, soft: int, hard: int) -> None:
    """Let this process take so much more than it has, where the system says how much that is."""
    held = next((line for line in STATUS.read_text().splitlines() if line.startswith("VmData:")), "") if STATUS.exists() else ""
    if held:
        wanted = int(held.split()[1]) * 1024 + more
        bounds = [bound for bound in (soft, hard) if bound != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_DATA, (min([wanted, *bounds]), hard))


def _end(sentence: str) -> None:
    warn(sentence)
    # No error would reach a library that is within a step of its own. Nothing is being written yet.
    os._exit(WRONG)
