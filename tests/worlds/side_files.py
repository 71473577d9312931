"""Side files of a store that are not what they were."""

from __future__ import annotations

import sqlite3
from pathlib import Path

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
