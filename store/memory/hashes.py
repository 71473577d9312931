"""Content hashes of input files, remembered so that a rerun costs one `stat` a file.

A hash is remembered under the file's path with its size, mtime, ctime and inode; any of them changing means the file is
read again. The memory is a side file that no fingerprint includes: deleting it costs time and nothing else.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

from xmap.store.disk.files import hash_file, make_folder, open_plain, require_plain
from xmap.store.errors import NotPlain, XmapError

Key = tuple[int, int, int, int]
# A file changed again within its file system's clock tick would keep its times: too young a file is not remembered.
YOUNG_NS = 2_000_000_000
# Seconds for another run to finish writing.
WAIT = 10.0
# Of a file that no run can use: other errors, such as a lock, pass. Nobody interrupts but the bound on steps.
DAMAGES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_INTERRUPT)
COLUMNS = "path, size, mtime, ctime, inode, blake3"
# What SQLite opens beside a file, whoever put it there. One of the first kind is what a killed run leaves, the others nobody's here.
JOURNAL, FOREIGN = "-journal", ("-wal", "-shm")
# A journal that ends so names a journal of several databases, at any place, which SQLite opens and then removes.
SEVERAL = bytes.fromhex("d9d505f920a163d7")
# Bytes of a row; steps of SQLite's that reading may take beside those that the size of a file and the rows asked for explain: pages that
# lead to each other again and again hold rows without end.
ROW, STEPS, LOOKUP, MOST_STEPS = 256 << 20, 1 << 20, 100, 2**31 - 1
# What a side file may hold; notes are `store.memory.notes`.
TABLES = {
    "hashes": "hashes (path BLOB PRIMARY KEY, size INT, mtime INT, ctime INT, inode INT, blake3 TEXT)",
    "notes": "notes (place BLOB PRIMARY KEY, stamp TEXT, note TEXT, blake3 TEXT)",
}


class HashMemory:
    """The remembered hashes of one store; without a path nothing is remembered."""

    def __init__(self, path: Path | None, rehash: bool = False) -> None:
        """`path` is the side file; `rehash` ignores what it holds (and writes it anew)."""
        self.path, self.rehash = path, rehash

    def hash_files(self, paths: Iterable[Path]) -> dict[Path, str]:
        """The blake3 of each file that can be read; unreadable ones are left out, the caller reports them."""
        wanted = [(path, key) for path in paths if (key := file_key(path)) is not None]
        known = {} if self.rehash else self._recall([path for path, _ in wanted])
        hashes = {path: known[path][1] for path, key in wanted if path in known and known[path][0] == key}
        missing = [(path, key) for path, key in wanted if path not in hashes]
        with ThreadPoolExecutor(max_workers=4) as pool:
            fresh = list(zip(missing, pool.map(lambda item: _try_hash(item[0]), missing), strict=True))
        hashes.update({path: digest for (path, _), digest in fresh if digest is not None})
        self._remember([(path, key, digest) for (path, key), digest in fresh if digest is not None])
        return hashes

    def _recall(self, paths: list[Path]) -> dict[Path, tuple[Key, str]]:
        if self.path is None or not self.path.exists() or not paths:
            return {}
        try:
            with closing(side_file(self.path, "hashes")) as database, few_steps(database, self.path, len(paths)):
                if len(paths) > 64:
                    wanted = {_name(path) for path in paths}
                    rows = {row[0]: row for row in database.execute(f"SELECT {COLUMNS} FROM hashes") if row[0] in wanted}  # noqa: S608
                else:
                    one = f"SELECT {COLUMNS} FROM hashes WHERE path = ?"  # noqa: S608
                    found = (database.execute(one, (_name(path),)).fetchone() for path in paths)
                    rows = {row[0]: row for row in found if row}
        except sqlite3.DatabaseError as error:
            forget_damaged(self.path, error)
            return {}
        # A row may be of any types.
        sound = {path: row for path in paths if (row := rows.get(_name(path))) and isinstance(row[5], str)}
        return {path: (row[1:5], row[5]) for path, row in sound.items()}

    def _remember(self, entries: list[tuple[Path, Key, str]]) -> None:
        now = time.time_ns()
        rows = [(_name(path), *key, digest) for path, key, digest in entries if max(key[1], key[2]) < now - YOUNG_NS]
        if self.path is None or not rows:
            return
        try:
            make_folder(self.path.parent)
            with closing(side_file(self.path, "hashes")) as database, database:
                database.executemany("INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?, ?, ?)", rows)
        except (sqlite3.DatabaseError, XmapError):
            # Full, locked, read-only or damaged: the hashes themselves are known, only the shortcut is lost.
            return


def side_file(path: Path, table: str) -> sqlite3.Connection:
    """The side file of a store, with a `table` of `TABLES` in it. Raises `sqlite3.DatabaseError`, also for a file of any other form."""
    _require_own(path)
    database = sqlite3.connect(path, timeout=WAIT)
    try:
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, ROW)
        known = [f"CREATE TABLE {columns}" for columns in TABLES.values()]
        with few_steps(database, path):
            database.execute(f"CREATE TABLE IF NOT EXISTS {TABLES[table]}")
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
def few_steps(database: sqlite3.Connection, path: Path, asked: int = 0) -> Iterator[None]:
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


def forget_damaged(path: Path, error: sqlite3.DatabaseError) -> None:
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


def _name(path: Path) -> bytes:
    return os.fsencode(os.path.abspath(path))


def file_key(path: Path) -> Key | None:
    """Size, times and inode of a regular file; None for anything else."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    if not os.path.isfile(path):
        return None
    # SQLite's integers are signed: some file systems number their inodes beyond that.
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino & (2**63 - 1)


def _try_hash(path: Path) -> str | None:
    try:
        return hash_file(path)
    except OSError:
        return None
