"""Faults for processes that die of them: a kill or a signal at the n-th write point, a disk that is full after n bytes.

They change the process they are called in for good, so they belong into forked children.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import xmap.pipeline.run.execute
import xmap.store.disk.files
import xmap.store.memory.uses
from xmap.store.artifacts.artifact import Artifact, Draft, Store
from xmap.store.artifacts.identity import Identity

# The fixture `case`: `with case():` is one failure tried.
Case = Callable[[], AbstractContextManager[None]]


class Points:
    """Counts write points, takes a `pause` (seconds) at each, and does `act` at the one numbered `last`.

    A point lies before and after each fsync, rename, new folder and removal, after a file is opened for writing, and in the
    middle of its first long write.
    """

    def __init__(self, last: int | None = None, act: Callable[[], None] = lambda: None, pause: float = 0.0) -> None:
        self.passed, self.last, self.act, self.pause = 0, last, act, pause

    def tick(self) -> None:
        here = self.passed
        self.passed += 1
        time.sleep(self.pause)
        if here == self.last:
            self.act()

    def install(self) -> None:
        for name in ("fsync", "replace", "mkdir", "unlink", "rmdir"):
            setattr(os, name, self._around(getattr(os, name)))
        xmap.store.disk.files.open = self._opened  # type: ignore[attr-defined]

    def _around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **options: Any) -> Any:
            self.tick()
            result = function(*arguments, **options)
            self.tick()
            return result

        return called

    def _opened(self, *arguments: Any) -> Any:
        file = open(*arguments, buffering=0)  # noqa: SIM115
        if not _writes(arguments[1]):
            return file
        self.tick()
        return _Written(file, self._half)

    def _half(self, written: _Written, view: memoryview) -> int:
        half = len(view) // 2
        written.file.write(view[:half])
        if half > 1 and not written.halved:
            written.halved = True
            self.tick()
        written.file.write(view[half:])
        return len(view)


class Disk:
    """A disk with room for `room` more bytes, whatever file they go to."""

    def __init__(self, room: int) -> None:
        self.room = room

    def install(self) -> None:
        xmap.store.disk.files.open = self._opened  # type: ignore[attr-defined]
        xmap.store.disk.files.free_bytes = lambda folder: self.room

    def _opened(self, *arguments: Any) -> Any:
        file = open(*arguments, buffering=0)  # noqa: SIM115
        return _Written(file, self._fitting) if _writes(arguments[1]) else file

    def _fitting(self, written: _Written, view: memoryview) -> int:
        fits = min(len(view), self.room)
        self.room -= fits
        written.file.write(view[:fits])
        if fits < len(view):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return fits


def _writes(mode: str) -> bool:
    return "w" in mode or "x" in mode


class _Written:
    """A file whose writes go through a function."""

    def __init__(self, file: Any, write: Callable[[_Written, memoryview], int]) -> None:
        self.file, self.halved = file, False
        self._write = write

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> _Written:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, data: Any) -> int:
        return self._write(self, memoryview(data).cast("B"))


def send(number: int) -> Callable[[], None]:
    """An act: this process gets the signal `number`."""
    return lambda: os.kill(os.getpid(), number)


KILL = send(signal.SIGKILL)


def in_child(work: Callable[[], object]) -> int:
    """Run `work` in a forked child; its exit code, negative for the signal that killed it."""
    return at_once(work)[0]


def at_once(*works: Callable[[], object]) -> list[int]:
    """Run each in a forked child of its own, all at the same time; their exit codes."""
    children = [_forked(work) for work in works]
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def _forked(work: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        try:
            _alone()
            work()
            os._exit(0)
        except BaseException as error:
            print(error, file=sys.stderr)
            os._exit(1)
    return child


def _alone() -> None:
    """Compute on one thread: a forked child has none of its parent's OpenMP threads, and would wait for them for ever."""
    import torch

    torch.set_num_threads(1)
    if "faiss" in sys.modules:
        sys.modules["faiss"].omp_set_num_threads(1)


def put_back(minutes: int) -> None:
    """The clock is so many minutes behind."""
    back = timedelta(minutes=minutes)

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Clock:
            return cls.fromtimestamp(datetime.now(tz).timestamp() - back.total_seconds(), tz)

    true = time.time
    time.time = lambda: true() - back.total_seconds()
    xmap.store.memory.uses.datetime = Clock  # type: ignore[misc]


def witness(path: Path) -> None:
    """Append to `path` a line for each folder that this process builds in and leaves, and for each evaluation that a run of it has used.

    Lines of several processes do not mix, and are in the order of what they tell.
    """
    build, used = Store.build, xmap.pipeline.run.execute.remember_uses

    def tell(event: str, what: str) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, f"{event} {os.getpid()} {what}\n".encode())
        os.close(descriptor)

    @contextmanager
    def seen(store: Store, identity: Identity, on_wait: Callable[[str], None] | None = None) -> Iterator[Draft | Artifact]:
        with build(store, identity, on_wait) as held:
            mine = isinstance(held, Draft)
            if mine:
                tell("begin", identity.folder)
            try:
                yield held
            finally:
                if mine:
                    tell("end", identity.folder)

    def remember(root: Path, fingerprints: Collection[str]) -> None:
        used(root, fingerprints)
        tell("used", ",".join(fingerprints))

    Store.build = seen  # type: ignore[method-assign]
    xmap.pipeline.run.execute.remember_uses = remember


# Events of Python's auditing: what opens, lists or changes a path, what starts a process, what speaks to a network.
TOUCHED = (
    "open", "os.listdir", "os.scandir", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate",
    "os.chmod", "os.chown", "sqlite3.connect", "shutil.copyfile", "shutil.rmtree", "glob.glob", "ctypes.dlopen",
)  # fmt: skip
LEFT = ("subprocess.", "os.exec", "os.fork", "os.spawn", "os.posix_spawn", "os.system", "pty.", "socket.", "urllib.", "http.", "ftplib.")


def watch(seen: list[tuple[str, str]]) -> None:
    """From here on write down into `seen` each path that this process touches, and each process and connection that it begins."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in TOUCHED and arguments and isinstance(arguments[0], str | bytes | os.PathLike):
            seen.append((event, os.path.abspath(os.fsdecode(arguments[0]))))
        elif event.startswith(LEFT):
            seen.append((event, repr(arguments)[:200]))

    sys.addaudithook(hook)
