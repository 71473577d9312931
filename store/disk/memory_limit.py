"""The memory that this process may have: the machine's, or less where its container or service has a limit.

Beyond such a limit (a control group's, of version 1 or 2) Linux kills without a word, whatever the machine has free.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

GROUPS, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
# How /proc/self/cgroup names the controllers of a group of version 2, and that of memory in version 1.
UNIFIED, MEMORY = "", "memory"


class _Files(NamedTuple):
    """What a version calls a group's limit, what it holds, and the entries of memory.stat that are files, which go when room is needed."""

    limit: str
    held: str
    files: tuple[str, ...]


VERSIONS = {
    UNIFIED: _Files("memory.max", "memory.current", ("inactive_file", "active_file")),
    MEMORY: _Files("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file")),
}


@lru_cache
def memory_bytes(tree: Path = GROUPS, own: Path = OWN) -> int:
    """The most memory that this process can ever have: that of the machine, or the least limit of the groups that it is in."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *(limit for _, _, limit in _limited(tree, own))])


def unclaimed_bytes(tree: Path = GROUPS, own: Path = OWN) -> int | None:
    """The memory that the groups of this process leave it now; None where none has a limit."""
    return min((max(0, limit - _claimed(folder, files)) for folder, files, limit in _limited(tree, own)), default=None)


def _limited(tree: Path, own: Path) -> Iterator[tuple[Path, _Files, int]]:
    """The groups that have a limit: the process's own and those around it, as far as they are seen from where it runs."""
    with suppress(OSError):
        for line in own.read_text().splitlines():
            _, controllers, place = line.split(":", 2)
            known = [version for version in VERSIONS if version in controllers.split(",")]
            # In a container the tree may begin at its own group, whatever the group is called outside.
            folders = [PurePosixPath(place.lstrip("/")), *PurePosixPath(place.lstrip("/")).parents]
            for version in known:
                for folder in dict.fromkeys(tree / version / folder for folder in folders if ".." not in folder.parts):
                    limit = _number(folder / VERSIONS[version].limit)
                    if limit is not None:
                        yield folder, VERSIONS[version], limit


def _claimed(folder: Path, files: _Files) -> int:
    """What a group holds and cannot give back at once."""
    given_back = 0
    with suppress(OSError):
        entries = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        given_back = sum(int(entries.get(name, 0)) for name in files.files)
    return max(0, (_number(folder / files.held) or 0) - given_back)


def _number(path: Path) -> int | None:
    """The number in a file; None where there is no such file or it says `max`."""
    with suppress(OSError, ValueError):
        return int(path.read_text())
    return None
