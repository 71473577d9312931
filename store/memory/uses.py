"""When a run last used each artifact of a store: a run may come back to what was built long ago, and then that is the newest.

Notes in the store's side file. Where there is none, as in a store whose side file was lost, an artifact is as new as it was made.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path

from xmap.store.memory.notes import HASHES, Notes

# What stands in the place of a file's stamp: the form of the note.
FORM = "used 1"
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00")


def now() -> str:
    """The time in UTC, ISO 8601 to the millisecond: such texts sort by time."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def remember_uses(root: Path, fingerprints: Collection[str]) -> None:
    """Note that a run used these artifacts of the store at `root` just now; a store that cannot be written to stays as it is."""
    Notes(root / HASHES).remember(dict.fromkeys(fingerprints, FORM), dict.fromkeys(fingerprints, now()))


def last_uses(root: Path, fingerprints: Collection[str]) -> Mapping[str, str]:
    """When artifacts were last used, where that is known. A time to come is nobody's: it would be the newest for good."""
    latest = now()
    found = Notes(root / HASHES).recall(dict.fromkeys(fingerprints, FORM))
    return {digest: moment for digest, moment in found.items() if MOMENT.fullmatch(moment) and moment <= latest}
