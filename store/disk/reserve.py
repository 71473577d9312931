"""A store's reserve: a small file that is given up when the disk is full, so that what ends the work still fits.

A disk is filled by anybody. Then a manifest whose data are there, a lock of `xmap gc` and the sentence that names it need a little room,
and nobody else can give it. The file's bytes are drawn, so that no file system packs them into less; they mean nothing, and no reader,
fingerprint, export or machine of a cluster knows of them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from xmap.store.disk.files import require_space, write_bytes
from xmap.store.disk.leftovers import clear
from xmap.store.errors import StoreFull

RESERVE = ".reserve"
# Bytes: what a large manifest and the notes of a run take; and how many must be free before so many are laid by.
SIZE, AMPLE = 256 << 10, 64 << 20

Made = TypeVar("Made")


@contextmanager
def reserve_at(root: Path) -> Iterator[None]:
    """Work in the store at `root` with a reserve, made where there is none and the disk has ample room.

    It is free when the disk is too full for the work: what is said of it may go to a log on the same disk.
    """
    _lay_by(root)
    try:
        yield
    except StoreFull:
        _give_up(root)
        raise


def spend_reserve(root: Path, write: Callable[[], Made]) -> Made:
    """What `write` gives; where the disk is full, once more in the room of the reserve of the store at `root`. Raises `StoreFull`."""
    try:
        return write()
    except StoreFull:
        _give_up(root)
        return write()


def _lay_by(root: Path) -> None:
    path = root / RESERVE
    # Work does not end for what it may never need.
    with suppress(OSError):
        clear(path)
        # Whatever it is: somebody's link or FIFO is neither followed nor replaced.
        if os.path.lexists(path):
            return
        require_space(root, AMPLE)
        write_bytes(path, os.urandom(SIZE))


def _give_up(root: Path) -> None:
    path = root / RESERVE
    with suppress(OSError):
        if stat.S_ISREG(path.lstat().st_mode):
            path.unlink()
