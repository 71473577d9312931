"""Room for pixels: threads that decode large images take turns, so that a process holds no more of them than one image may have."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Room:
    """How many pixels this process is decoding."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """As new, for a forked process: the threads that hold room are not there."""
        self._turn, self._taken = Condition(), 0

    @contextmanager
    def of(self, pixels: int, most: int) -> Iterator[None]:
        """Wait until `pixels` more make at most `most`, or until nobody else has any."""
        with self._turn:
            self._turn.wait_for(lambda: not self._taken or self._taken + pixels <= most)
            self._taken += pixels
        try:
            yield
        finally:
            with self._turn:
                self._taken -= pixels
                self._turn.notify_all()


ROOM = Room()
os.register_at_fork(after_in_child=ROOM.renew)
