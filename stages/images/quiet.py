"""No warnings of decoders, whatever number of threads are at work: Python's own switch is one for the process."""

from __future__ import annotations

import warnings
from threading import Lock
from types import TracebackType


class Quiet:
    """A block, entered by any number of threads, in which nothing warns; the last to leave puts things back as they were."""

    def __init__(self) -> None:
        self._lock, self._inside = Lock(), 0
        self._before = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = warnings.catch_warnings()
                self._before.__enter__()
                warnings.simplefilter("ignore")
            self._inside += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._before.__exit__(kind, error, trace)


QUIET = Quiet()
