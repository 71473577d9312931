"""The bytes of an image, wherever they lie, or the reason why there are none.

A process keeps a few tars open, and one row group of one Parquet table: images are read in the order in which they lie there.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

from xmap.stages.datasets.places.files import opened
from xmap.stages.datasets.places.pictures import unread as unread_by_name
from xmap.stages.datasets.places.place import MAX_BYTES, Cell, Container, Member, Place, Remote
from xmap.stages.datasets.places.remote import MISSING, UNREACHABLE, RemoteError, read_bytes
from xmap.stages.images.decode import BadImage
from xmap.store.disk.files import insisted
from xmap.store.errors import OF_MACHINE, ArtifactDamaged, InputError


@dataclass(frozen=True)
class Held:
    """An image in memory: what answers call it, and the bytes of its file."""

    name: str
    data: bytes

    def __str__(self) -> str:
        return self.name


Given = Place | Held


def read_place(place: Given) -> bytes | BadImage:
    """The bytes of an image. They may be others than were listed: compare their hash.

    Pipes, devices and folders are never opened, nor pictures of a kind that is not read.
    """
    if isinstance(place, Held):
        return place.data
    if why := unread_by_name(place.name):
        return BadImage("unsupported", why)
    try:
        status = place.stat() if isinstance(place, Path) else None
        if status and not stat.S_ISREG(status.st_mode):
            return BadImage("not-a-file", "it is a folder, a pipe or a device")
        size = status.st_size if status else place.size if isinstance(place, Remote) else None
        if size is not None and size > MAX_BYTES:
            return BadImage("too-large", f"the file has {size:,} bytes, the limit is {MAX_BYTES:,}")
        data = insisted(lambda: _bytes(place))
    except OSError as error:
        return _unread(error)
    except ArtifactDamaged as error:
        return BadImage("damaged", error.problem)
    except RemoteError as error:
        # A missing file in the words that a local one gets: the same images have the same errors wherever they lie.
        return _unread(FileNotFoundError(errno.ENOENT, "")) if error.kind == MISSING else BadImage(UNREACHABLE, error.reason)
    if data is None:
        return BadImage("missing", "the cell holds no image")
    if len(data) > MAX_BYTES:
        return BadImage("too-large", f"the file has more than {MAX_BYTES:,} bytes, which is the limit")
    return data or BadImage("empty", "the file has 0 bytes")


def read_again(place: Given) -> bytes:
    """The bytes of an image that was read before. Raises `InputError` where it cannot be read any more."""
    data = read_place(place)
    if isinstance(data, BadImage):
        raise InputError(f"{place} cannot be read any more: {data.kind}, {data.message}; run the same command again.")
    return data


def _unread(error: OSError) -> BadImage:
    """Why an image could not be read, from the system's error."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
        return BadImage("missing", "there is no such file, or it is a link to none")
    if error.errno == errno.ELOOP:
        return BadImage("link-loop", "the link leads back to itself")
    kind = UNREACHABLE if error.errno in OF_MACHINE else "unreadable"
    return BadImage(kind, error.strerror or "it cannot be read")


def _bytes(place: Place) -> bytes | None:
    if isinstance(place, Path):
        return place.read_bytes()
    if isinstance(place, Remote):
        return read_bytes(place)
    return _member(place) if isinstance(place, Member) else _GROUP.image(place)


def _member(member: Member) -> bytes:
    where = member.container.where
    if isinstance(where, Path):
        # Named, so that it stays open while it is read from.
        file = _opened(where, member.container.stamp)
        return os.pread(file.descriptor, member.size, member.offset)
    return read_bytes(where, member.offset, member.offset + member.size)


class _Open:
    """An open file, closed when the last who reads from it lets go: other threads may be reading when it leaves the cache."""

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


@lru_cache(maxsize=4)
def _opened(path: Path, stamp: str) -> _Open:
    # By its stamp too: a tar that was replaced and listed again is another.
    return _Open(path)


class _Group:
    """The row group that was read last, behind a lock: threads that miss it together would each read it, and hold a copy."""

    def __init__(self) -> None:
        self._key: tuple[Container, str, int] | None = None
        self._column: Any = None
        self.renew()

    def renew(self) -> None:
        """Another lock, for a forked process: the old one may be held by a thread that is not there."""
        self._lock = Lock()

    def image(self, cell: Cell) -> bytes | None:
        """The bytes of a cell; None where it is null."""
        key = (cell.container, cell.column, cell.group)
        with self._lock:
            if key != self._key:
                # Let go of first, so that a process never holds two.
                self._key = self._column = None
                self._column, self._key = _read_group(*key), key
            data: bytes | None = self._column[cell.inside].as_py() if cell.inside < len(self._column) else b""
        return data


_GROUP = _Group()
os.register_at_fork(after_in_child=_GROUP.renew)


def _read_group(container: Container, column: str, group: int) -> Any:
    from xmap.stages.datasets.sources.cells import read_group

    if isinstance(container.where, Path):
        with open(container.where, "rb") as file:
            return read_group(file, str(container.where), column, group)
    with opened(container.where) as file:
        return read_group(file, str(container.where), column, group)
