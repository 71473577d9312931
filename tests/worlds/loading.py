"""Processes that load images, once they have started."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xmap.stages.images.apart import apart
from xmap.stages.images.views import ViewMaker


def waited(condition: Callable[[], bool]) -> None:
    """Until it holds; the test's own limit ends what never does."""
    while not condition():
        time.sleep(0.01)


def idle(load: Any) -> int:
    """How many processes of those behind `load` wait for an image."""
    return int(load.__self__._idle.qsize())


def processes_of(load: Any) -> list[int]:
    """The process ids of those behind `load`."""
    return [process._running.pid for process in load.__self__._all]


@contextmanager
def started(maker: ViewMaker, count: int) -> Iterator[Any]:
    """`apart`, once all its processes wait for an image."""
    with apart(maker, count) as load:
        waited(lambda: not count or idle(load) == count)
        yield load


def gone(pid: int) -> bool:
    """Whether there is no such process any more, or only what its parent has not read."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
