"""What a store's machine remembers of inputs that are costly to read: hashes of files, what a tar or table holds.

A note is remembered under the input's place and a stamp of what it was then (size and times, or size and ETag): another stamp means
another input. Notes lie in a side file that no fingerprint includes: losing it costs time alone. It may have come along with a store.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from blake3 import blake3

from xmap.store.disk.files import free_bytes, make_folder, open_plain, require_plain
from xmap.store.disk.reserve import spend_reserve
from xmap.store.errors import NotPlain, StoreFull, XmapError

# Its name in a store; it began as one of hashes.
HASHES = "hashes.sqlite"
# Seconds for another run to finish writing.
WAIT = 10.0
# Of a file that no run can use: other errors, such as a lock, pass. Nobody interrupts but the bound on steps.
DAMAGES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_INTERRUPT)
# What SQLite opens beside a file, whoever put it there. One of the first kind is what a killed run leaves, the others nobody's here.
JOURNAL, FOREIGN = "-journal", ("-wal", "-shm")
# A journal that ends so names a journal of several databases, at any place, which SQLite opens and then removes.
SEVERAL = bytes.fromhex("d9d505f920a163d7")
# Bytes of a row; steps of SQLite's that reading may take beside those that the size of a file and the rows asked for explain: pages that
# lead to each other again and again hold rows without end.
ROW, STEPS, LOOKUP, MOST_STEPS = 256 << 20, 1 << 20, 100, 2**31 - 1
# The tables that a side file may hold: the notes, and the hashes that version 0.1 kept apart, which nobody reads any more.
TABLE = "notes (place BLOB PRIMARY KEY, stamp TEXT, note TEXT, blake3 TEXT)"
TABLES = (TABLE, "hashes (path BLOB PRIMARY KEY, size INT, mtime INT, ctime INT, inode INT, blake3 TEXT)")
# Notes asked for at once.
MANY = 500

Stamps = Mapping[str, str]
Note = TypeVar("Note", str, bytes)


class Notes:
    """The notes of one store; without a path nothing is remembered."""

    def __init__(self, path: Path | None = None, rehash: bool = False) -> None:
        """`path` is the side file; `rehash` ignores what it holds (and writes it anew)."""
        self._path, self._rehash = path, rehash

    def recall(self, stamps: Stamps) -> dict[str, str]:
        """The notes on those places whose stamp is still the same; an empty stamp is never known again."""
        return self._recall(stamps, str)

    def recall_bytes(self, stamps: Stamps) -> dict[str, bytes]:
        """As `recall`, those notes that are bytes."""
        return self._recall(stamps, bytes)

    def _recall(self, stamps: Stamps, kind: type[Note]) -> dict[str, Note]:
        wanted = {place: stamp for place, stamp in stamps.items() if stamp}
        if self._path is None or self._rehash or not wanted or not self._path.exists():
            return {}
        try:
            with closing(_side_file(self._path)) as database, _few_steps(database, self._path, len(wanted)):
                rows = list(_rows(database, list(wanted)))
        except sqlite3.DatabaseError as error:
            _forget_damaged(self._path, error)
            return {}
        # A row may be of any types.
        sound = ((place, stamp, note) for place, stamp, note, digest in rows if isinstance(note, kind) and digest == _digest(note))
        return {place: note for place, stamp, note in sound if wanted.get(place) == stamp}

    def remember(self, stamps: Stamps, notes: Mapping[str, Note]) -> None:
        """Keep notes on places, under the stamps they had when they were read."""
        rows = [(os.fsencode(place), stamps[place], note, _digest(note)) for place, note in notes.items() if stamps.get(place)]
        if self._path is None or not rows:
            return
        try:
            make_folder(self._path.parent)
            spend_reserve(self._path.parent, partial(_write, self._path, rows))
        except (sqlite3.DatabaseError, XmapError):
            # Full, locked, read-only or damaged: only the shortcut is lost.
            return


def _write(path: Path, rows: Sequence[tuple[bytes, str, str | bytes, str]]) -> None:
    """Write all rows or none. Raises `StoreFull`, and `sqlite3.DatabaseError` for all else."""
    try:
        with closing(_side_file(path)) as database, database:
            database.executemany("INSERT OR REPLACE INTO notes VALUES (?, ?, ?, ?)", rows)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
            raise
        raise StoreFull(path, None, free_bytes(path.parent)) from error


def _rows(database: sqlite3.Connection, places: Sequence[str]) -> Iterator[tuple[str, str, object, str]]:
    for start in range(0, len(places), MANY):
        part = [os.fsencode(place) for place in places[start : start + MANY]]
        marks = ", ".join("?" * len(part))
        query = f"SELECT place, stamp, note, blake3 FROM notes WHERE place IN ({marks})"  # noqa: S608
        yield from ((os.fsdecode(row[0]), *row[1:]) for row in database.execute(query, part))


def _digest(note: str | bytes) -> str:
    return blake3(note if isinstance(note, bytes) else str(note).encode(errors="surrogateescape")).hexdigest()


def _side_file(path: Path) -> sqlite3.Connection:
    """The side file of a store, with the table in it. Raises `sqlite3.DatabaseError`, also for a file of any other form."""
    _require_own(path)
    database = sqlite3.connect(path, timeout=WAIT)
    try:
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, ROW)
        known = [f"CREATE TABLE {table}" for table in TABLES]
        with _few_steps(database, path):
            database.execute(f"CREATE TABLE IF NOT EXISTS {TABLE}")
            # It may have come with a store: a view or a trigger in it would be run.
            if any(sql not in known for (sql,) in database.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")):
                raise sqlite3.DatabaseError("it holds more than tables of xmap")
    except BaseException:
        database.close()
        raise
    return database


def _require_own(path: Path) -> None:
    """Raise `sqlite3.DatabaseError` where SQLite would open anything but plain files here, or be led elsewhere by one of them."""
    for place in (path, _beside(path, JOURNAL)):
        try:
            require_plain(place, path.parent)
        except FileNotFoundError:
            continue
        except NotPlain as error:
            raise sqlite3.DatabaseError(error.problem) from error
        if place != path and _ends_with(place, SEVERAL):
            raise sqlite3.DatabaseError("its journal names another file")
    if any(os.path.lexists(_beside(path, suffix)) for suffix in FOREIGN):
        raise sqlite3.DatabaseError("another program wrote it")


@contextmanager
def _few_steps(database: sqlite3.Connection, path: Path, asked: int = 0) -> Iterator[None]:
    """Let reading take as many steps as a file of this size, asked for so many rows, may need; more are an error that is damage."""
    size = path.stat().st_size if path.exists() else 0
    database.set_progress_handler(lambda: 1, min(STEPS + size + LOOKUP * asked, MOST_STEPS))
    try:
        yield
    finally:
        database.set_progress_handler(None, 0)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _ends_with(path: Path, end: bytes) -> bool:
    try:
        with open_plain(path, path.parent) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - len(end)))
            return file.read(len(end)) == end
    except OSError:
        # Its writer has finished since, or SQLite may not open it either.
        return False


def _forget_damaged(path: Path, error: sqlite3.DatabaseError) -> None:
    """Remove a side file that is damaged or of another form, so that the next run begins another: it only costs time.

    One that is merely locked or out of reach stays: another run may be writing to it.
    """
    # The low byte is the kind of error; text that cannot be decoded has none.
    if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF not in DAMAGES:
        return
    try:
        # A journal that stayed would be played back into the next file.
        for suffix in (JOURNAL, *FOREIGN, ""):
            _beside(path, suffix).unlink(missing_ok=True)
    except OSError:
        # It cannot be removed, so it cannot be used either; every file is read instead.
        return
