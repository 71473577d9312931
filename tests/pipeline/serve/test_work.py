"""Threads that take jobs, and what becomes of those that hang."""

from __future__ import annotations

import threading
import time

from tests.worlds.serving import wait_until
from xmap.pipeline.serve.work import Lane


def test_jobs_are_done_and_no_more_wait_than_may() -> None:
    begun, go, done = threading.Event(), threading.Event(), list[int]()

    def work(job: int) -> None:
        begun.set()
        go.wait(20)
        done.append(job)

    lane = Lane(work, threads=1, most=2, seconds=20)
    assert lane.put(0)
    assert begun.wait(20)
    assert lane.put(1)
    assert lane.put(2)
    assert not lane.put(3)
    go.set()
    wait_until(lambda: not len(lane))
    assert done == [0, 1, 2]


def test_a_thread_that_hangs_is_replaced_and_ends_when_it_comes_back() -> None:
    go, done = threading.Event(), list[str]()

    def work(job: str) -> None:
        if job == "hangs":
            go.wait(20)
        done.append(job)

    lane = Lane(work, threads=1, most=9, seconds=0.05)
    threads = threading.active_count()
    lane.put("hangs")
    time.sleep(0.1)
    lane.put("next")
    wait_until(lambda: done == ["next"])
    go.set()
    wait_until(lambda: threading.active_count() == threads)
    assert done == ["next", "hangs"]
