"""Notes on inputs that are costly to read: what a tar or table holds, what a remote file's bytes hash to.

A note is remembered under the input's place and a stamp of what it was then (size and times, or size and ETag): another stamp means
another input. Notes lie beside the remembered hashes in a side file that no fingerprint includes: losing them costs time alone.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from blake3 import blake3

from xmap.store.disk.files import make_folder
from xmap.store.errors import XmapError
from xmap.store.memory.hashes import YOUNG_NS, few_steps, file_key, forget_damaged, side_file

MANY = 500

Stamps = Mapping[str, str]


class Notes:
    """The notes of one store; without a path nothing is remembered."""

    def __init__(self, path: Path | None = None, rehash: bool = False) -> None:
        """`path` is the side file; `rehash` ignores what it holds (and writes it anew)."""
        self._path, self._rehash = path, rehash

    def recall(self, stamps: Stamps) -> dict[str, str]:
        """The notes on those places whose stamp is still the same; an empty stamp is never known again."""
        wanted = {place: stamp for place, stamp in stamps.items() if stamp}
        if self._path is None or self._rehash or not wanted or not self._path.exists():
            return {}
        try:
            with closing(side_file(self._path, "notes")) as database, few_steps(database, self._path, len(wanted)):
                rows = list(_rows(database, list(wanted)))
        except sqlite3.DatabaseError as error:
            forget_damaged(self._path, error)
            return {}
        # A row may be of any types.
        sound = ((place, stamp, note) for place, stamp, note, digest in rows if isinstance(note, str) and digest == _digest(note))
        return {place: note for place, stamp, note in sound if wanted.get(place) == stamp}

    def remember(self, stamps: Stamps, notes: Mapping[str, str]) -> None:
        """Keep notes on places, under the stamps they had when they were read."""
        rows = [(os.fsencode(place), stamps[place], note, _digest(note)) for place, note in notes.items() if stamps.get(place)]
        if self._path is None or not rows:
            return
        try:
            make_folder(self._path.parent)
            with closing(side_file(self._path, "notes")) as database, database:
                database.executemany("INSERT OR REPLACE INTO notes VALUES (?, ?, ?, ?)", rows)
        except (sqlite3.DatabaseError, XmapError):
            # Full, locked, read-only or damaged: only the shortcut is lost.
            return


def file_stamp(path: Path) -> tuple[str, bool]:
    """What changes when a local file does (size, times, inode), and whether that lasts: a file just written may change unseen."""
    key = file_key(path)
    return (":".join(map(str, key)), max(key[1], key[2]) < time.time_ns() - YOUNG_NS) if key else ("", False)


def _rows(database: sqlite3.Connection, places: Sequence[str]) -> Iterator[tuple[str, str, str, str]]:
    for start in range(0, len(places), MANY):
        part = [os.fsencode(place) for place in places[start : start + MANY]]
        marks = ", ".join("?" * len(part))
        query = f"SELECT place, stamp, note, blake3 FROM notes WHERE place IN ({marks})"  # noqa: S608
        yield from ((os.fsdecode(row[0]), *row[1:]) for row in database.execute(query, part))


def _digest(note: str) -> str:
    return blake3(str(note).encode(errors="surrogateescape")).hexdigest()
