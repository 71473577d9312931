"""Work on many items by threads that nobody waits for longer than a limit: a disk, a mount or a decoder may hang for ever."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from threading import Condition, Thread
from typing import Generic, TypeVar

# Far beyond what the largest allowed image takes; only a stuck disk or network mount reaches it.
TIMEOUT_SECONDS = 300

Item = TypeVar("Item")
Made = TypeVar("Made")


def in_time(work: Callable[[Item], Made], items: Sequence[Item], threads: int, ahead: int) -> Generator[Made | None]:
    """`work` of each item, in order, at most `ahead` of them ready before they are asked for; None for one that took too long.

    Raises what `work` raises. Close it (`contextlib.closing`) where it may be left unfinished.
    """
    together = _Together(work, items, max(1, ahead), TIMEOUT_SECONDS)
    together.start(min(max(1, threads), len(items)))
    try:
        for _ in range(len(items)):
            yield together.next()
    finally:
        together.stop()


class _Together(Generic[Item, Made]):
    """Threads on one list of items. They are daemons: one that hangs holds up neither the others nor the end of the process."""

    def __init__(self, work: Callable[[Item], Made], items: Sequence[Item], ahead: int, seconds: float) -> None:
        self._work, self._items, self._ahead, self._seconds = work, items, ahead, seconds
        # Places of items: the next to begin, the next to hand out, and the one before which none is begun any more.
        self._turn, self._next, self._out, self._end = Condition(), 0, 0, len(items)
        self._since: dict[int, float] = {}
        self._made: dict[int, Made | None] = {}
        self._error: BaseException | None = None

    def start(self, threads: int) -> None:
        """Begin to work with so many threads."""
        for _ in range(threads):
            Thread(target=self._run, daemon=True).start()

    def next(self) -> Made | None:
        """What was made of the next item, once it is made or too late."""
        with self._turn:
            while self._out not in self._made and self._error is None:
                now = time.monotonic()
                for place in [place for place, since in self._since.items() if now - since >= self._seconds]:
                    self._put(place, None)
                    # In place of the one that hangs.
                    self.start(1)
                first = min(self._since.values(), default=now)
                if self._out not in self._made:
                    self._turn.wait(max(0.01, first + self._seconds - now))
            if self._error is not None:
                raise self._error
            self._out += 1
            self._turn.notify_all()
            return self._made.pop(self._out - 1)

    def stop(self) -> None:
        """Begin no more items."""
        with self._turn:
            self._end = 0
            self._turn.notify_all()

    def _run(self) -> None:
        while (place := self._take()) is not None:
            try:
                made = self._work(self._items[place])
            # Raised where the results are waited for.
            except BaseException as error:
                with self._turn:
                    self._error, self._end = error, 0
                    self._turn.notify_all()
                return
            with self._turn:
                if place not in self._since:
                    return
                self._put(place, made)

    def _take(self) -> int | None:
        with self._turn:
            self._turn.wait_for(lambda: self._next >= self._end or self._next < self._out + self._ahead)
            if self._next >= self._end:
                return None
            self._next += 1
            self._since[self._next - 1] = time.monotonic()
            return self._next - 1

    def _put(self, place: int, made: Made | None) -> None:
        del self._since[place]
        self._made[place] = made
        self._turn.notify_all()
