"""Work on many items by threads that nobody waits for longer than a limit: a disk, a mount or a decoder may hang for ever."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from threading import Condition, Thread
from typing import Generic, TypeVar

# Far beyond what the largest allowed image takes; only a stuck disk or network mount reaches it.
TIMEOUT_SECONDS = 300

Item = TypeVar("Item")
Made = TypeVar("Made")


def in_time(work: Callable[[Item], Made], items: Sequence[Item], threads: int, seconds: float) -> list[Made | None]:
    """`work` of each item, in order; None for those that took more than `seconds`. Raises what `work` raises."""
    return _Together(work, items, max(1, threads)).results(seconds)


class _Together(Generic[Item, Made]):
    """Threads on one list of items. They are daemons: one that hangs holds up neither the others nor the end of the process."""

    def __init__(self, work: Callable[[Item], Made], items: Sequence[Item], threads: int) -> None:
        self._work, self._items = work, items
        self._turn, self._next = Condition(), 0
        self._since: dict[int, float] = {}
        self._made: dict[int, Made | None] = {}
        self._error: BaseException | None = None
        for _ in range(min(threads, len(items))):
            self._start()

    def results(self, seconds: float) -> list[Made | None]:
        """What was made, in order, once everything is made or too late."""
        with self._turn:
            while len(self._made) < len(self._items) and self._error is None:
                now = time.monotonic()
                for place in [place for place, since in self._since.items() if now - since >= seconds]:
                    self._end(place, None)
                    # In place of the one that hangs.
                    self._start()
                first = min(self._since.values(), default=now)
                if len(self._made) < len(self._items):
                    self._turn.wait(max(0.01, first + seconds - now))
            if self._error is not None:
                raise self._error
            return [self._made[place] for place in range(len(self._items))]

    def _start(self) -> None:
        Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while (place := self._take()) is not None:
            try:
                made = self._work(self._items[place])
            # Raised where the results are waited for.
            except BaseException as error:
                with self._turn:
                    self._error = error
                    self._turn.notify_all()
                return
            with self._turn:
                if place not in self._since:
                    return
                self._end(place, made)

    def _take(self) -> int | None:
        with self._turn:
            if self._next >= len(self._items) or self._error is not None:
                return None
            self._next += 1
            self._since[self._next - 1] = time.monotonic()
            return self._next - 1

    def _end(self, place: int, made: Made | None) -> None:
        del self._since[place]
        self._made[place] = made
        self._turn.notify_all()
