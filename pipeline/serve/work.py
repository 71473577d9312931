"""Threads that take jobs off a queue, and are replaced where one hangs: a storage or a decoder may, for ever."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from threading import Condition, Thread, current_thread
from typing import Generic, TypeVar

Job = TypeVar("Job")


class Lane(Generic[Job]):
    """`threads` that do `work` on jobs, in their order; at most `most` wait. They are daemons: none holds up the end of the process."""

    def __init__(self, work: Callable[[Job], None], threads: int, most: int, seconds: float) -> None:
        self._work, self._most, self._seconds = work, most, seconds
        self._turn, self._jobs = Condition(), deque[Job]()
        self._since: dict[Thread, float] = {}
        for _ in range(threads):
            self._start()

    def __len__(self) -> int:
        """How many jobs wait or are at work."""
        return len(self._jobs) + len(self._since)

    def put(self, job: Job) -> bool:
        """Hand in a job; whether there is room for it."""
        with self._turn:
            if len(self._jobs) >= self._most:
                return False
            self._jobs.append(job)
            self._replace_hung()
            self._turn.notify()
        return True

    def _start(self) -> None:
        Thread(target=self._run, daemon=True).start()

    def _replace_hung(self) -> None:
        now = time.monotonic()
        for thread in [thread for thread, since in self._since.items() if now - since > self._seconds]:
            # It ends by itself if it ever comes back.
            del self._since[thread]
            self._start()

    def _run(self) -> None:
        thread = current_thread()
        while True:
            with self._turn:
                self._turn.wait_for(lambda: bool(self._jobs))
                job = self._jobs.popleft()
                self._since[thread] = time.monotonic()
            self._work(job)
            with self._turn:
                if self._since.pop(thread, None) is None:
                    return
