"""A limit of time for work that asks nobody while it goes on, such as one search for a regular expression."""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType


class Late(Exception):
    """The time is over."""


@contextmanager
def within(seconds: float) -> Generator[None]:
    """Raise `Late` in the work inside once it has taken `seconds`. Signals reach the main thread alone: in another there is no limit."""
    if current_thread() is not main_thread():
        yield
        return

    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise Late

    handler = signal.signal(signal.SIGALRM, ring)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left, interval)
        # None is one that was not set from Python, which cannot be set from it either.
        signal.signal(signal.SIGALRM, signal.SIG_DFL if handler is None else handler)
