"""Content hashes of files, remembered so that a rerun costs one `stat` a file.

A note is kept for a folder: the names of its files, what each was then (size, times, inode), and its hash. Any of a file's numbers
changing means that it is read again. Everything here is done to the files of a folder at once, in columns.
"""

from __future__ import annotations

import os
import stat
import time
from array import array
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xmap.store.disk.files import hash_file, insisted
from xmap.store.errors import OF_MACHINE, MachineRefused
from xmap.store.memory.notes import Notes

# A file changed again within its file system's clock tick would keep its times: of too young a file nothing is remembered.
YOUNG_NS = 2_000_000_000
AT_ONCE = 4
# So many files are asked for together, where folders are small.
MANY = 1 << 16
# A hash as its bytes; nothing but zeros where there is none.
DIGEST = np.dtype("S32")
# The form of a note, and what a file was: size, times of its bytes and of its inode, and the inode, cut to 63 bits.
FORM, STAMP = "1", 4
MOST = 2**63 - 1
NO_FILE = (-1,) * STAMP

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Folder:
    """Some files directly in the folder at `path`, by name."""

    path: str
    names: Sequence[str]


def hash_folders(folders: Iterable[Folder], notes: Notes) -> Iterator[Array]:
    """The blake3 (n,) `DIGEST` of the files of each folder; zeros for those that cannot be read, which the caller reports.

    Raises `MachineRefused`.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for part in _parts(folders):
            keys = [f"blake3 in {os.path.abspath(folder.path)}" for folder in part]
            stamps = dict.fromkeys(keys, FORM)
            known = notes.recall_bytes(stamps)
            fresh: dict[str, bytes] = {}
            found = []
            for key, folder in zip(keys, part, strict=True):
                digests, note = _hashed(folder, _Files.read(known.get(key, b"")), pool)
                found.append(digests)
                if note is not None:
                    fresh[key] = note
            notes.remember(stamps, fresh)
            yield from found


def hash_known(path: Path, notes: Notes) -> str | None:
    """The blake3 of one file, remembered; None where it cannot be read."""
    digest = next(hash_folders([Folder(os.path.dirname(path) or ".", [path.name])], notes))
    return digest.tobytes().hex() if digest[0] else None


def hexes(digests: Array) -> Iterator[str]:
    """Hashes (n,) `DIGEST` in hex, not all of them as texts at once."""
    for start in range(0, len(digests), MANY):
        part = digests[start : start + MANY].tobytes().hex()
        yield from (part[place : place + 64] for place in range(0, len(part), 64))


def file_stamp(path: Path) -> tuple[str, bool]:
    """What changes when a regular file does (size, times, inode), and whether that lasts: a file just written may change unseen.

    Empty for anything but a regular file.
    """
    (row,) = _stamps("", [os.fspath(path)])
    return (":".join(map(str, row)), bool(_lasting(row[None])[0])) if row[0] >= 0 else ("", False)


def _parts(folders: Iterable[Folder]) -> Iterator[list[Folder]]:
    part: list[Folder] = []
    count = 0
    for folder in folders:
        part.append(folder)
        count += len(folder.names)
        if count >= MANY:
            yield part
            part, count = [], 0
    if part:
        yield part


def _hashed(folder: Folder, known: _Files, pool: ThreadPoolExecutor) -> tuple[Array, bytes | None]:
    """The hashes of a folder's files, and its note where that has to be another one."""
    base = os.path.join(folder.path, "")
    asked = _Files(os.fsencode("/".join(folder.names)), _stamps(base, folder.names), np.zeros(len(folder.names), DIGEST))
    places = known.places(asked.names)
    there = np.flatnonzero(places >= 0)
    there = there[(known.stamps[places[there]] == asked.stamps[there]).all(axis=1)]
    asked.digests[there] = known.digests[places[there]]
    regular = asked.stamps[:, 0] >= 0
    unknown = np.flatnonzero(regular & (asked.digests == b""))
    paths = [base + folder.names[row] for row in unknown.tolist()]
    for row, digest in zip(unknown.tolist(), pool.map(_try_hash, paths), strict=True):
        asked.digests[row] = digest
    lasting = _lasting(asked.stamps)
    if not (lasting[unknown] & (asked.digests[unknown] != b"")).any():
        return asked.digests, None
    others = np.setdiff1d(np.arange(len(known.digests)), places)
    return asked.digests, asked.take(np.flatnonzero(lasting & (asked.digests != b""))).joined(known.take(others)).written()


@dataclass(frozen=True)
class _Files:
    """Files of a folder: their names joined by `/`, stamps (n, STAMP) int64, digests (n,)."""

    names: bytes
    stamps: Array
    digests: Array

    @classmethod
    def read(cls, note: bytes) -> _Files:
        """What `written` wrote; nothing for a note of another form, which may be anybody's."""
        size = int.from_bytes(note[:8], "little")
        names = note[8 : 8 + size]
        count = names.count(b"/") + 1 if names else 0
        if len(note) != 8 + size + count * (8 * STAMP + DIGEST.itemsize):
            return cls.read(b"\0" * 8)
        stamps = np.frombuffer(note, "<i8", count * STAMP, 8 + size).reshape(count, STAMP)
        return cls(names, stamps, np.frombuffer(note, DIGEST, count, 8 + size + stamps.nbytes))

    def written(self) -> bytes:
        return b"".join((len(self.names).to_bytes(8, "little"), self.names, self.stamps.astype("<i8").tobytes(), self.digests.tobytes()))

    def places(self, names: bytes) -> Array:
        """Where files of these names are (m,); -1 where they are not."""
        if names == self.names:
            return np.arange(len(self.digests))
        known = {name: place for place, name in enumerate(self.names.split(b"/"))} if self.names else {}
        return np.asarray([known.get(name, -1) for name in names.split(b"/")], np.int64)

    def take(self, rows: Array) -> _Files:
        """Some of the files, in the given order."""
        names = self.names if len(rows) == len(self.digests) else b"/".join(map(self.names.split(b"/").__getitem__, rows.tolist()))
        return _Files(names, self.stamps[rows], self.digests[rows])

    def joined(self, other: _Files) -> _Files:
        """These files and then others."""
        names = b"/".join(names for names in (self.names, other.names) if names)
        return _Files(names, np.concatenate([self.stamps, other.stamps]), np.concatenate([self.digests, other.digests]))


def _stamps(base: str, names: Sequence[str]) -> Array:
    """What the files were (n, STAMP); a size of -1 for all but regular ones."""
    found = array("q")
    for name in names:
        try:
            status = os.stat(base + name)
        except OSError:
            found.extend(NO_FILE)
            continue
        if stat.S_ISREG(status.st_mode):
            found.extend((status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino & MOST))
        else:
            found.extend(NO_FILE)
    return np.frombuffer(found, np.int64).reshape(-1, STAMP)


def _lasting(stamps: Array) -> Array:
    """Whether stamps will change when the files do (n,) bool: a file just written may change unseen."""
    lasting: Array = stamps[:, 1:3].max(axis=1) < time.time_ns() - YOUNG_NS
    return lasting


def _try_hash(path: str) -> bytes:
    try:
        return bytes.fromhex(insisted(lambda: hash_file(Path(path))))
    except OSError as error:
        # Half of the images would be called bad, and a run would end well without them.
        if error.errno in OF_MACHINE:
            raise MachineRefused(path, error) from error
        return b""
