"""Loading images in processes of their own: threads of one process decode at once, but Python runs one of them at a time.

A thread hands an image to a process that has none, and copies the pixels of its answer. What such a process has no pixels for (a bad
image, a large one, one that lies elsewhere) the thread loads itself; so it does until the first processes have started, and after one
has died. Pixels are the same either way.
"""

from __future__ import annotations

import json
import os
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
from xmap.stages.images.decode import BadImage, Rules
from xmap.stages.images.load import Planned
from xmap.stages.images.read import Given
from xmap.stages.images.views import Deep, Loaded, ViewMaker
from xmap.stages.machine.memory import kept_memory

# Modules come from where this process has them: another version could make other pixels.
PROGRAM = "import sys; terms, *sys.path = sys.argv[1:]; from xmap.stages.images.apart import serve; serve(terms)"
COMMAND = [sys.executable or "", "-P", "-c", PROGRAM]
# What an answer begins with: that it has no pixels, or the bits that were assumed of a `Deep` (0: of none).
READY, NONE = b"r", b"\xff"
# Seconds that a killed process is waited for, and the pixels of a camera's picture.
PATIENCE, PICTURE = 1, 24_000_000

Load = Callable[[Given, str, Sequence[int], Planned], Loaded]


@contextmanager
def apart(maker: ViewMaker, count: int) -> Iterator[Load]:
    """What loads images as `maker` does, whose view 0 is `plain_crop`'s, with the help of `count` processes until the block ends."""
    if not count:
        yield maker.load
        return
    processes = _Processes(maker, count)
    try:
        yield processes.load
    finally:
        processes.stop()


class _Processes:
    """Processes that have nothing to do, whoever needs one; a thread of its own starts them."""

    def __init__(self, maker: ViewMaker, count: int) -> None:
        self._maker, self._over = maker, Event()
        # Larger images are left to the threads: all processes together hold no more pixels than one image may have, or a picture each.
        most = maker.rules.max_pixels
        rules = replace(maker.rules, max_pixels=max(most // count, min(most, PICTURE)))
        self._terms = json.dumps([dict(maker.preprocess), maker.seed, asdict(rules)])
        self._idle: SimpleQueue[_Process] = SimpleQueue()
        self._all: list[_Process] = []
        Thread(target=self._start, args=(count,), daemon=True).start()

    def load(self, place: Given, content: str, views: Sequence[int], planned: Planned) -> Loaded:
        """`ViewMaker.load` of an image, by a process where one is idle."""
        request = _request(place, content, views, planned)
        found = self._answer(request, len(views)) if request else None
        return self._maker.load(place, content, views, planned) if found is None else found

    def stop(self) -> None:
        """End them all, those too that still start."""
        self._over.set()
        for process in list(self._all):
            process.kill()
        for process in list(self._all):
            process.end()

    def _answer(self, request: str, views: int) -> Loaded | None:
        """What an idle process answers; None where none is idle, or it has no pixels to give."""
        try:
            process = self._idle.get_nowait()
        except Empty:
            return None
        height, width = self._maker.preprocess["size"]
        try:
            found = process.answer(request, (views, height, width, 3))
        except OSError:
            # It died, or is about to: nobody asks it again.
            process.end()
            return None
        self._idle.put(process)
        return found

    def _start(self, count: int) -> None:
        # No process, no file for its socket or no memory: those that are there and the threads go on.
        with suppress(OSError):
            while len(self._all) < count:
                self._all.append(_Process(self._terms))
                if self._over.is_set():
                    self._all[-1].end()
                    return
        for process in self._all:
            with suppress(OSError):
                if process.is_ready():
                    self._idle.put(process)


class _Process:
    """A process that loads one image at a time, and ends when nobody holds the other end of its socket: however this process ends."""

    def __init__(self, terms: str) -> None:
        """Raises `OSError` where none can be started. `terms` are how it makes views."""
        self._ours, theirs = socket.socketpair()
        with theirs:
            for end in (self._ours, theirs):
                # Whatever `socket.setdefaulttimeout` says.
                end.setblocking(True)
            # It multiplies no matrices: without the last, NumPy would start a thread for each core. In a session of its own Ctrl-C does
            # not reach it, which ends the process that asks.
            self._running = subprocess.Popen(  # noqa: S603  (our own module)
                [*COMMAND, terms, *sys.path],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            )

    def is_ready(self) -> bool:
        """Wait for what it imports; whether it lives."""
        return self._ours.recv(1) == READY

    def answer(self, request: str, shape: tuple[int, ...]) -> Loaded | None:
        """The views (V, H, W, 3) uint8 of the image in `request`, None where it has none to give. Raises `OSError` where it died."""
        made = np.empty(shape, np.uint8)
        self._ours.sendall(request.encode() + b"\n")
        kind = bytearray(1)
        self._fill(memoryview(kind))
        if kind == NONE:
            return None
        self._fill(made.data.cast("B"))
        return Deep(made, kind[0]) if kind[0] else made

    def _fill(self, room: memoryview) -> None:
        while room:
            # All at once, but for a signal.
            count = self._ours.recv_into(room, 0, socket.MSG_WAITALL)
            if not count:
                raise ConnectionResetError
            room = room[count:]

    def kill(self) -> None:
        """Let it end, whatever it does."""
        self._running.kill()

    def end(self) -> None:
        """Kill it and wait."""
        self.kill()
        # One that a disk holds up ends when that lets go of it.
        with suppress(subprocess.TimeoutExpired):
            self._running.wait(PATIENCE)
        self._ours.close()


def is_helped(place: Given) -> bool:
    """Whether a process loads an image that lies there: one of this machine's disks. Others a thread loads as well."""
    return isinstance(place, Path) or (isinstance(place, Member) and isinstance(place.container.where, Path))


def _request(place: Given, content: str, views: Sequence[int], planned: Planned) -> str:
    """An image as a process is asked for it; empty for one that it does not load."""
    if not is_helped(place):
        return ""
    lies: list[str | int] = [str(place)]
    if isinstance(place, Member):
        held = place.container
        lies = [str(held.where), held.stamp, place.name, int(place.offset), int(place.size), place.content]
    return json.dumps([lies, content, [int(view) for view in views], planned.content])


def _place(path: str, stamp: str | None = None, name: str = "", offset: int = 0, size: int = 0, content: str = "") -> Path | Member:
    return Path(path) if stamp is None else Member(Container(Path(path), stamp), name, offset, size, content)


def serve(terms: str) -> None:
    """Load what is asked for on standard input, a socket, one image a line, until nobody asks any more."""
    asker = socket.socket(fileno=0)
    preprocess, seed, rules = json.loads(terms)
    maker = ViewMaker(plain_crop(preprocess), preprocess, seed, Rules(**rules))
    with kept_memory("cpu"), suppress(ConnectionError):
        asker.sendall(READY)
        for line in asker.makefile("rb"):
            lies, content, views, planned = json.loads(line)
            loaded = maker.load(_place(*lies), content, views, Planned(planned))
            if isinstance(loaded, BadImage):
                asker.sendall(NONE)
                continue
            pixels, depth = (loaded.pixels, loaded.depth) if isinstance(loaded, Deep) else (loaded, 0)
            asker.sendall(bytes([depth]))
            asker.sendall(pixels.data)
