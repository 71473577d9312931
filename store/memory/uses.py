"""When a run last used each artifact of a store: a run may come back to what was built long ago, and then that is the newest.

Notes in the store's side file. Where there is none, as in a store whose side file was lost, an artifact is as new as it was made.
A clock may be put back: each use is therefore noted as later than the last one noted, whatever the clock says.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from xmap.store.memory.notes import HASHES, Notes

# What stands in the place of a file's stamp: the form of the note.
FORM = "used 1"
# The place of the last time that was noted. No fingerprint is called so.
LAST = "last use"
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00")
# How far the clock is believed to have been put back: a time further ahead is nobody's.
BACK, TICK = timedelta(days=1), timedelta(milliseconds=1)


def now() -> str:
    """The time in UTC, ISO 8601 to the millisecond: such texts sort by time."""
    return _text(datetime.now(UTC))


def remember_uses(root: Path, fingerprints: Collection[str]) -> None:
    """Note that a run used these artifacts of the store at `root` just now; a store that cannot be written to stays as it is."""
    if fingerprints:
        notes = Notes(root / HASHES)
        last = _last(notes)
        moment = max(now(), _text(last + TICK)) if last else now()
        places = [LAST, *fingerprints]
        notes.remember(dict.fromkeys(places, FORM), dict.fromkeys(places, moment))


def last_uses(root: Path, fingerprints: Collection[str]) -> Mapping[str, str]:
    """When artifacts were last used, where that is known. A time after the last one noted is nobody's: it would be the newest for good."""
    notes = Notes(root / HASHES)
    last = _last(notes)
    latest = max(now(), _text(last)) if last else now()
    found = notes.recall(dict.fromkeys(fingerprints, FORM))
    return {digest: moment for digest, moment in found.items() if MOMENT.fullmatch(moment) and moment <= latest}


def _last(notes: Notes) -> datetime | None:
    """The last time that was noted, where there is one to be believed."""
    found = notes.recall({LAST: FORM}).get(LAST, "")
    try:
        last = datetime.fromisoformat(found) if MOMENT.fullmatch(found) else None
    except ValueError:
        # No day of any calendar.
        return None
    return last if last and last <= datetime.now(UTC) + BACK else None


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
