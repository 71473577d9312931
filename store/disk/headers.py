"""The beginnings and lists of files of others, looked at before a library unpacks or parses the rest into memory."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path
from typing import Any

from xmap.store.disk.files import open_plain
from xmap.store.disk.memory_limit import memory_bytes
from xmap.store.errors import NotPlain

# Bytes; 20,000 tensors take a tenth.
HEADER_LIMIT = 16 << 20
# Bytes that a table may take in memory, and as many again for each of its own: a million image names pack to a 65th.
ROOM, UNPACKED = 512 << 20, 256
# What the standard library raises for the fields of an archive that lie: signatures, sizes, versions, names, places before the start.
BROKEN = (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OverflowError, OSError)
# Values in JSON: three bytes of it may take a hundred in memory, and hashing them as many again. The names of all classes that there are
# and the results of a hundred runs are a tenth.
VALUES = 1 << 20


class TooManyValues(ValueError):
    """JSON holds more values than any that xmap writes."""


def parse_json(data: bytes) -> Any:
    """`json.loads` for bytes of others. Raises `ValueError`, among them `TooManyValues`, and `RecursionError`."""
    if sum(data.count(sign) for sign in (b",", b"[", b"{")) > VALUES:
        raise TooManyValues(f"it has more than {VALUES:,} values")
    return json.loads(data)


def require_header(path: Path) -> None:
    """Raise `NotPlain` where the list of a safetensors file claims more bytes than any has: it is parsed whole, at many times its size."""
    with open_plain(path) as file:
        claimed = int.from_bytes(file.read(8), "little")
    if claimed > HEADER_LIMIT:
        raise NotPlain(path, f"its list of tensors claims {claimed:,} bytes")


def archive_names(path: Path) -> list[str]:
    """The names in an archive that torch wrote, which packs nothing; none for a file of another kind.

    Raises `NotPlain` for an archive that is broken, or that would unpack to more bytes than it has.
    """
    with open_plain(path) as file:
        try:
            if not zipfile.is_zipfile(file):
                return []
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
        except BROKEN as error:
            raise NotPlain(path, "it is a broken archive") from error
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise NotPlain(path, "it would unpack to more bytes than it has")
    return [entry.filename for entry in entries]


def require_room(path: Path, needed: int) -> None:
    """Raise `NotPlain` where a table would take far more memory than tables of its size do, or more than there is."""
    size = path.stat().st_size
    if needed > min(ROOM + UNPACKED * size, memory_bytes()):
        raise NotPlain(path, f"it would unpack from {size:,} bytes to {needed:,}")
