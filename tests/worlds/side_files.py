"""Side files of a store that are not what they were."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from xmap.store.memory.hashes import Folder, hash_folders
from xmap.store.memory.notes import Notes

DAMAGES = ("empty", "junk", "cut", "other table", "folder")


def damage(memory: Path, how: str) -> None:
    """Put something else in the place of what this machine remembers."""
    data = memory.read_bytes()
    memory.unlink()
    if how == "folder":
        memory.mkdir()
    elif how == "other table":
        with sqlite3.connect(memory) as database:
            database.execute("CREATE TABLE notes (place BLOB PRIMARY KEY)")
    else:
        memory.write_bytes({"empty": b"", "junk": b"junk" * 4096, "cut": data[: len(data) // 2]}[how])


def hash_files(paths: Iterable[Path], notes: Notes) -> dict[Path, str]:
    """The hashes of the files that can be read, in hex; those of one folder follow each other."""
    found: dict[Path, str] = {}
    folders = [(folder, list(inside)) for folder, inside in groupby(paths, lambda path: path.parent)]
    asked = (Folder(str(folder), [path.name for path in inside]) for folder, inside in folders)
    for (_, inside), digests in zip(folders, hash_folders(asked, notes), strict=True):
        found.update((path, digests[row : row + 1].tobytes().hex()) for row, path in enumerate(inside) if digests[row])
    return found
