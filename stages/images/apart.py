"""Loading images in processes of their own: threads of one process decode at once, but Python runs one of them at a time.

A thread hands an image to a process that has none, and copies the pixels of its answer. What such a process has no pixels for (a bad
image, one of more bits, one that lies elsewhere) the thread loads itself; so it does until the first processes have started, and after
one has died. Pixels are the same either way. `python -m xmap.stages.images.apart` is such a process.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread

import numpy as np

from xmap.stages.datasets.places.place import Container, Member
from xmap.stages.images.crop import plain_crop
from xmap.stages.images.decode import Rules
from xmap.stages.images.load import Planned
from xmap.stages.images.read import Given
from xmap.stages.images.views import Loaded, Pixels, ViewMaker
from xmap.stages.machine.memory import kept_memory

COMMAND = [sys.executable, "-P", "-m", "xmap.stages.images.apart"]
READY, PIXELS, NONE = b"r", b"p", b"n"
# Seconds that a killed process is waited for.
PATIENCE = 1

Load = Callable[[Given, str, Sequence[int], Planned], Loaded]


@contextmanager
def apart(maker: ViewMaker, count: int) -> Iterator[Load]:
    """What loads images as `maker` does, with the help of `count` processes until the block ends."""
    if not count:
        yield maker.load
        return
    processes = _Processes(maker, count)
    try:
        yield processes.load
    finally:
        processes.stop()


class _Processes:
    """Processes that have nothing to do, whoever needs one; each is started and waited for by a thread of its own."""

    def __init__(self, maker: ViewMaker, count: int) -> None:
        self._maker, self._over = maker, Event()
        # Larger images are left to the threads, so that all processes together hold no more pixels than one image may have.
        rules = replace(maker.rules, max_pixels=maker.rules.max_pixels // count)
        self._terms = json.dumps([dict(maker.preprocess), maker.seed, asdict(rules)])
        self._idle: SimpleQueue[_Process] = SimpleQueue()
        self._all: list[_Process] = []
        for _ in range(count):
            Thread(target=self._start, daemon=True).start()

    def load(self, place: Given, content: str, views: Sequence[int], planned: Planned) -> Loaded:
        """`ViewMaker.load` of an image, by a process where one is idle."""
        request = _request(place, content, views, planned)
        found = self._pixels(request, len(views)) if request else None
        return self._maker.load(place, content, views, planned) if found is None else found

    def stop(self) -> None:
        """End them all, those too that still start."""
        self._over.set()
        for process in list(self._all):
            process.end()

    def _pixels(self, request: str, views: int) -> Pixels | None:
        """What an idle process answers; None where none is idle, or it has none to give."""
        try:
            process = self._idle.get_nowait()
        except Empty:
            return None
        height, width = self._maker.preprocess["size"]
        found = process.pixels(request, (views, height, width, 3))
        if found is None:
            # It died, or is about to: nobody asks it again.
            process.end()
            return None
        self._idle.put(process)
        return found if len(found) else None

    def _start(self) -> None:
        # No process, no file for its pipes or no memory: the others and the threads go on.
        with suppress(OSError):
            process = _Process(self._terms)
            self._all.append(process)
            if self._over.is_set():
                process.end()
            elif process.is_ready():
                self._idle.put(process)


class _Process:
    """A process that loads one image at a time, and ends when nobody holds the other end of its socket: however this process ends."""

    def __init__(self, terms: str) -> None:
        """Raises `OSError` where none can be started. `terms` are how it makes views."""
        self._ours, theirs = socket.socketpair()
        with theirs:
            self._running = subprocess.Popen(COMMAND, stdin=theirs.fileno(), stdout=subprocess.DEVNULL)  # noqa: S603  (our own module)
        self._say(terms)

    def is_ready(self) -> bool:
        """Wait for what it imports; whether it lives."""
        return self._ours.recv(1) == READY

    def pixels(self, request: str, shape: tuple[int, ...]) -> Pixels | None:
        """The views (V, H, W, 3) uint8 of the image in `request`, none (0, H, W, 3) where it has none to give, None where it died."""
        made = np.empty(shape, np.uint8)
        with suppress(OSError):
            self._say(request)
            kind = self._ours.recv(1)
            if kind == NONE:
                return made[:0]
            if kind == PIXELS and self._ours.recv_into(made.data, 0, socket.MSG_WAITALL) == made.nbytes:
                return made
        return None

    def end(self) -> None:
        """End it, whatever it does."""
        self._running.kill()
        # One that a disk holds up ends when that lets go of it.
        with suppress(subprocess.TimeoutExpired):
            self._running.wait(PATIENCE)
        self._ours.close()

    def _say(self, line: str) -> None:
        self._ours.sendall(line.encode() + b"\n")


def _request(place: Given, content: str, views: Sequence[int], planned: Planned) -> str:
    """An image of this machine's disks as a process is asked for it; empty for another, which a thread loads as well."""
    words = [content, [int(view) for view in views], planned.content]
    if isinstance(place, Path):
        return json.dumps([[str(place)], *words])
    if isinstance(place, Member) and isinstance(place.container.where, Path):
        lies = [str(place.container.where), place.container.stamp, place.name, int(place.offset), int(place.size), place.content]
        return json.dumps([lies, *words])
    return ""


def _place(path: str, stamp: str | None = None, name: str = "", offset: int = 0, size: int = 0, content: str = "") -> Path | Member:
    return Path(path) if stamp is None else Member(Container(Path(path), stamp), name, offset, size, content)


def serve(asker: socket.socket) -> None:
    """Load what is asked for, one image a line, until nobody asks any more."""
    # Ctrl-C ends the process that asks.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lines = asker.makefile("rb")
    preprocess, seed, rules = json.loads(lines.readline())
    maker = ViewMaker(plain_crop(preprocess), preprocess, seed, Rules(**rules))
    with kept_memory("cpu"), suppress(BrokenPipeError):
        asker.sendall(READY)
        for line in lines:
            lies, content, views, planned = json.loads(line)
            loaded = maker.load(_place(*lies), content, views, Planned(planned))
            if isinstance(loaded, np.ndarray):
                asker.sendall(PIXELS)
                asker.sendall(loaded.data)
            else:
                asker.sendall(NONE)


if __name__ == "__main__":
    serve(socket.socket(fileno=0))
