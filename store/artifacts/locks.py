"""Who works in a store: kernel locks, freed when the process dies, however it dies. Not reliable on every network file system.

A lock file that is left behind says nothing: only a lock that is held does.
"""

from __future__ import annotations

import errno
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from xmap.store.artifacts.fingerprint import SHORT
from xmap.store.disk.files import make_folder, require_plain, system_errors
from xmap.store.disk.reserve import spend_reserve
from xmap.store.errors import LocksMissing, NotPlain, StoreBusy

LOCKS = "locks"
# The folder of what the artifacts of a store share, feature rows, and what the locks of their makers are called.
SHARED = "features"
# Taken for a moment by whoever begins to work, and for the whole time by whoever removes things.
GATE = "gate.lock"
AT_WORK = "run-"
# What the system says of a file system without locks, or with some of another kind.
NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


@contextmanager
def held(path: Path, on_wait: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold the lock at `path`; where another process has it, say so by `on_wait` and wait. Raises `StoreDenied` and `StoreFull`."""
    lock = _acquired(path, on_wait)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def at_work(root: Path) -> Iterator[None]:
    """Be seen to work in the store at `root`: until the block ends, nobody has it for himself."""
    path = root / LOCKS / f"{AT_WORK}{uuid.uuid4().hex}.lock"
    with held(root / LOCKS / GATE):
        _anybody(root)
        own = _acquired(path)
    try:
        yield
    finally:
        own.release()
        path.unlink(missing_ok=True)


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Have the store at `root` for oneself: whoever wants to work in it waits. Raises `StoreBusy` where somebody does already."""
    with held(root / LOCKS / GATE):
        if _anybody(root):
            raise StoreBusy(root)
        yield


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """What the system says of a lock as `StoreDenied`, `StoreFull` or `LocksMissing`."""
    try:
        with system_errors(path):
            yield
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        raise LocksMissing(path.parent) from error


def sweep(root: Path) -> None:
    """Remove the locks of artifacts that are gone. Call only while `alone`."""
    for path in (root / LOCKS).glob("*.lock"):
        stage, _, digest = path.stem.rpartition("-")
        if stage and path.name != GATE and not any((root / stage).glob(f"*-{digest[:SHORT]}")):
            path.unlink(missing_ok=True)


def _acquired(path: Path, on_wait: Callable[[str], None] | None = None) -> BaseFileLock:
    """The lock at `path` once this process has it."""

    def acquire() -> BaseFileLock:
        make_folder(path.parent)
        lock = _lock(_plain(path))
        with _explained(path):
            try:
                lock.acquire(timeout=0.2)
            except Timeout:
                if on_wait:
                    on_wait(f"waiting: another xmap is building {path.stem}")
                lock.acquire()
        return lock

    return spend_reserve(path.parent.parent, acquire)


def _lock(path: Path) -> BaseFileLock:
    """A lock of the system's: one that stands for it where there are none would outlive a process that is killed."""
    return FileLock(path, fallback_to_soft=False)


def _plain(path: Path) -> Path:
    """A lock's path, where nothing or a plain file lies: the store may be anybody's, and a link would lead the lock outside."""
    if path.parent.is_symlink():
        raise NotPlain(path.parent, "it is a link, not a folder")
    with suppress(FileNotFoundError):
        require_plain(path, path.parent)
    return path


def _anybody(root: Path) -> bool:
    """Whether a living process works in the store; what the dead left is removed. Call only while holding the gate."""
    living = False
    for path in (root / LOCKS).glob(f"{AT_WORK}*.lock"):
        try:
            with _lock(_plain(path)).acquire(timeout=0):
                path.unlink(missing_ok=True)
        except Timeout:
            living = True
    return living
