"""The listing of many containers: each is read once, in order, and what it holds is remembered until it changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from xmap.stages.datasets.places.place import Container
from xmap.stages.datasets.sources.containers import Found
from xmap.store.memory.hashes import file_stamp
from xmap.store.memory.notes import Notes

AT_ONCE = 4


def list_all(files: Sequence[Found], read: Callable[[Found], Any], notes: Notes, kind: str) -> list[tuple[Container, Any]]:
    """What `read` says of each file, as JSON values, from memory where the file has not changed.

    `kind` names the form of what is said: raise its number when that changes. Raises what `read` raises.
    """
    stamps = {_key(found, kind): _stamp(found) for found in files}
    known = notes.recall({key: stamp for key, (stamp, _) in stamps.items()})
    listed: dict[str, Any] = {key: json.loads(note) for key, note in known.items()}
    missing = {key: found for found in files if (key := _key(found, kind)) not in listed}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for key, value in zip(missing, pool.map(read, missing.values()), strict=True):
            listed[key] = value
            stamp, lasting = stamps[key]
            # One by one: an interrupted listing of a thousand tars goes on where it was.
            notes.remember({key: stamp if lasting else ""}, {key: json.dumps(value)})
    return [(Container(found.where, stamps[key][0]), listed[key]) for found in files for key in [_key(found, kind)]]


def _key(found: Found, kind: str) -> str:
    where = found.where.absolute() if isinstance(found.where, Path) else found.where
    return f"{kind} {where}"


def _stamp(found: Found) -> tuple[str, bool]:
    if isinstance(found.where, Path):
        return file_stamp(found.where)
    return found.where.stamp, bool(found.where.stamp)
