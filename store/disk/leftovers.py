"""What killed writers leave: temporary files and folders, cleared by the next one or by `gc`.

A lock shows which of them has a living writer. The system frees it however the writer dies; where there are no locks, none is taken
for abandoned either.
"""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TEMPORARY = ".partial"
# A name has at most 255 bytes, a sign at most 4.
NAMED = 50


def temporary_prefix(path: Path) -> str:
    """How the names of `path`'s temporary files begin: like its own, cut where it would leave no room for more."""
    return f".{path.name[:NAMED]}."


def claim(descriptor: int) -> None:
    """Show that the temporary file or folder that is open here has a living writer, until it is closed."""
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Show that a folder being written has a living writer."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        claim(descriptor)
        yield
    finally:
        os.close(descriptor)


def clear(path: Path) -> None:
    """Remove what killed writers of `path` left beside it."""
    for leftover in path.parent.glob(f"{glob.escape(temporary_prefix(path))}*{TEMPORARY}"):
        remove_abandoned(leftover)


def is_abandoned(leftover: Path) -> bool:
    """Whether nobody writes it any more."""
    with suppress(OSError), _taken(leftover):
        return True
    return False


def remove_abandoned(leftover: Path) -> None:
    """Remove a temporary file or folder unless somebody writes it."""
    with suppress(OSError), _taken(leftover):
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink()


@contextmanager
def _taken(leftover: Path) -> Iterator[None]:
    """Hold its lock. Raises `OSError` where another process does, or where it is a link or gone."""
    descriptor = os.open(leftover, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
