"""The bytes of an image, wherever they lie, or the reason why there are none.

A loading process keeps the tar it reads from open, and one row group of one Parquet table.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from stages.datasets.places import Member, Place
from stages.datasets.remote import MISSING, UNREADABLE, RemoteError, read_bytes
from stages.decode import BadImage, read_image, unread

# In the words that local files get, so that the same images have the same errors wherever they lie.
REMOTE = {MISSING: "there is no such file, or it is a link to none", UNREADABLE: "Permission denied"}


def read_place(place: Place) -> bytes | BadImage:
    """The bytes of an image. They may be others than were listed: compare their hash."""
    if isinstance(place, Path):
        return read_image(place)
    try:
        data = _member(place) if isinstance(place, Member) else b""
    except OSError as error:
        return unread(error)
    except RemoteError as error:
        return BadImage(error.kind, REMOTE.get(error.kind, error.reason))
    return data or BadImage("empty", "the file has 0 bytes")


def _member(member: Member) -> bytes:
    where, end = member.container.where, member.offset + member.size
    if isinstance(where, Path):
        # Named, so that it stays open while it is read from.
        file = _opened(where, member.container.stamp)
        return os.pread(file.descriptor, member.size, member.offset)
    return read_bytes(where, member.offset, end)


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
