"""Content hashes of files, remembered so that a rerun costs one `stat` a file.

A hash is a note on the file's path whose stamp is size, mtime, ctime and inode: any of them changing means the file is read again.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from xmap.store.disk.files import hash_file
from xmap.store.memory.notes import Notes

# A file changed again within its file system's clock tick would keep its times: of too young a file nothing is remembered.
YOUNG_NS = 2_000_000_000
AT_ONCE = 4


def hash_files(paths: Iterable[Path], notes: Notes) -> dict[Path, str]:
    """The blake3 of each file that can be read; unreadable ones are left out, the caller reports them."""
    places = {path: f"blake3 {os.path.abspath(path)}" for path in paths}
    stamps = {place: stamp for path, place in places.items() if (stamp := file_stamp(path))[0]}
    known = notes.recall({place: stamp for place, (stamp, _) in stamps.items()})
    missing = {place: path for path, place in places.items() if place in stamps and place not in known}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        read = zip(missing, pool.map(_try_hash, missing.values()), strict=True)
        fresh = {place: digest for place, digest in read if digest is not None}
    notes.remember({place: stamp for place, (stamp, lasting) in stamps.items() if lasting}, fresh)
    known.update(fresh)
    return {path: known[place] for path, place in places.items() if place in known}


def file_stamp(path: Path) -> tuple[str, bool]:
    """What changes when a regular file does (size, times, inode), and whether that lasts: a file just written may change unseen.

    Empty for anything but a regular file.
    """
    try:
        status = os.stat(path)
    except OSError:
        return "", False
    if not stat.S_ISREG(status.st_mode):
        return "", False
    times = status.st_mtime_ns, status.st_ctime_ns
    return ":".join(map(str, (status.st_size, *times, status.st_ino))), max(times) < time.time_ns() - YOUNG_NS


def _try_hash(path: Path) -> str | None:
    try:
        return hash_file(path)
    except OSError:
        return None
