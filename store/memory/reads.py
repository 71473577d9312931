"""When what lies in a store was last read whole and found sound, so that a part of it can be read each night, the longest unread first.

Notes in the store's side file. Where that was lost nothing counts as read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from xmap.store.memory.notes import HASHES, Notes
from xmap.store.memory.uses import MOMENT, now

# How the place of a note begins: the rest is the path of what was read, below the store.
READ = "read:"

# What was read, by path below the store, and what it was then: other bytes at the same place were never read.
Stamps = Mapping[str, str]


def remember_reads(root: Path, stamps: Stamps) -> None:
    """Note that these were read just now; a store that cannot be written to stays as it is."""
    placed = {READ + place: stamp for place, stamp in stamps.items()}
    Notes(root / HASHES).remember(placed, dict.fromkeys(placed, now()))


def last_reads(root: Path, stamps: Stamps) -> Mapping[str, str]:
    """When each was last read, ISO 8601 in UTC, where that is known. A time to come is nobody's: it would put off reading for good."""
    latest = now()
    found = Notes(root / HASHES).recall({READ + place: stamp for place, stamp in stamps.items()})
    return {place.removeprefix(READ): moment for place, moment in found.items() if MOMENT.fullmatch(moment) and moment <= latest}
