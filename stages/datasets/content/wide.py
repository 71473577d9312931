"""Whether images hold values of more than 8 bits: what those mean is decided when they are read, and is then part of what features are.

Only the first bytes of PNG and TIFF files here are looked at, once for a data set as it is. Pillow is not needed to plan a run.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from xmap.stages.datasets.places.pictures import suffix_of
from xmap.stages.datasets.places.place import Member, Place
from xmap.store.memory.notes import Notes

PNG, TIFF = (".png",), (".tif", ".tiff")
BITS_PER_SAMPLE, SHORT = 258, 3
MOST_TAGS = 4096
STAMP = "1"


def has_wide(places: Iterable[Place], content: str, notes: Notes) -> bool:
    """Whether any image at `places` has room for more than 8 bits a value; `content` names them all, for `notes` to remember it."""
    key = f"more than 8 bits {content}"
    known = notes.recall({key: STAMP}).get(key)
    if known is None:
        known = "yes" if any(map(_is_wide, places)) else "no"
        notes.remember({key: STAMP}, {key: known})
    return known == "yes"


def _is_wide(place: Place) -> bool:
    kind = suffix_of(place.name)
    member = isinstance(place, Member)
    where, start = (place.container.where, place.offset) if isinstance(place, Member) else (place, 0)
    if kind not in PNG + TIFF or not isinstance(where, Path) or not (member or os.path.isfile(where)):
        return False
    try:
        with open(where, "rb") as file:
            return (_png if kind in PNG else _tiff)(file, start) > 8
    except (OSError, struct.error):
        # Cut or gone: it is a bad image, and reading it says so.
        return False


def _png(file: BinaryIO, start: int) -> int:
    head = _at(file, start, 25)
    return head[24] if head[12:16] == b"IHDR" and len(head) == 25 else 0


def _tiff(file: BinaryIO, start: int) -> int:
    head = _at(file, start, 8)
    order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
    if not order or struct.unpack(f"{order}H", head[2:4])[0] != 42:
        # Of large TIFFs nothing is known before they are read.
        return 16 if order else 0
    place = start + struct.unpack(f"{order}I", head[4:8])[0]
    (count,) = struct.unpack(f"{order}H", _at(file, place, 2))
    listed = _at(file, place + 2, 12 * min(count, MOST_TAGS))
    for tag, kind, many, value in struct.iter_unpack(f"{order}HHI4s", listed[: len(listed) // 12 * 12]):
        if tag == BITS_PER_SAMPLE and kind == SHORT:
            inside = value[:2] if many <= 2 else _at(file, start + struct.unpack(f"{order}I", value)[0], 2)
            return int(struct.unpack(f"{order}H", inside)[0])
    return 0


def _at(file: BinaryIO, place: int, size: int) -> bytes:
    file.seek(place)
    return file.read(size)
