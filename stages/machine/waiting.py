"""How torch's threads on the CPU wait for each other while other threads need the cores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

# More numbers than torch gives to one thread.
SHARED = 1 << 17


@contextmanager
def giving_way(device: str) -> Iterator[None]:
    """A block in which a thread of OpenMP's that waits for the others soon gives its core up. Does nothing for a GPU or a single thread.

    GNU's OpenMP, torch's on Linux, spins for some ten milliseconds at each wait (`GOMP_SPINCOUNT`), unless it counts more threads of its
    own than there are cores. It does not count those that decode images: on busy cores the thread waited for may then have none to run on.
    So another team is made, which sleeps until the block ends. No number of threads and no bit of a result changes.
    """
    import torch

    if device != "cpu" or torch.get_num_threads() == 1:
        yield
        return
    made, over = Event(), Event()

    def team() -> None:
        try:
            torch.zeros(SHARED).exp_()
        finally:
            made.set()
        over.wait()

    thread = Thread(target=team, daemon=True)
    thread.start()
    try:
        made.wait()
        yield
    finally:
        over.set()
        thread.join()
