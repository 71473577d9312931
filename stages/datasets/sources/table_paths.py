"""The paths in a table: where the image of a row is, and its id.

A local path is tried as it is written, then without spaces around it and with `/` for the `\\` of Windows. Relative ones start at the
table's folder or, where no image is there, at the working directory.
"""

from __future__ import annotations

import os
import posixpath
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from xmap.stages.datasets.places.place import Location, Remote, is_of_this_machine, is_url, location
from xmap.store.errors import InputError


@dataclass(frozen=True)
class TablePaths:
    """How the paths of one table are read: from the folder `base` on, where the table is of this machine."""

    table: Location
    base: Path | None
    remarks: tuple[str, ...] = ()

    @classmethod
    def of(cls, table: Location, written: Iterable[str]) -> TablePaths:
        """For a table with these paths."""
        if not isinstance(table, Path):
            return cls(table, None)
        relative = [path for path in written if not is_url(path) and not Path(path).is_absolute()]
        here = Path()
        if not relative or _any_there(table.parent, relative) or not _any_there(here, relative):
            return cls(table, table.parent)
        return cls(table, here, (f"the paths in {table} start at the working directory, {here.absolute()}: none is in the table's folder",))

    def find(self, number: int, written: str) -> tuple[str, Location]:
        """The id and the place of the image of row `number`. Raises `InputError` for a path that a table may not have."""
        if is_url(written.strip()):
            return self._identity(written.strip()), self._remote(number, written.strip())
        if self.base is None:
            return self._identity(written.strip()), self._below_url(number, written.strip())
        spelled = _spelled(self.base, written)
        return self._identity(spelled), self.base / spelled

    def _remote(self, number: int, written: str) -> Location:
        place = location(written)
        if self.base is None and is_of_this_machine(written):
            raise InputError(
                f"{self.table} row {number} has the path {written!r:.200}, which is a file of this machine; give it a remote URL."
            )
        return place

    def _below_url(self, number: int, written: str) -> Location:
        """A table at a URL may come from anybody: its paths stay in its own bucket or on its host, and name no files of this machine."""
        scheme, _, folder = str(self.table.parent).partition("://")
        inside = posixpath.normpath(f"{folder}/{written}")
        if written.startswith("/") or inside.partition("/")[0] != folder.partition("/")[0]:
            raise InputError(
                f"{self.table} row {number} has the path {written!r}, which leads out of the storage; write it below the table."
            )
        return Remote(f"{scheme}://{inside}")

    def _identity(self, written: str) -> str:
        """The id of a path: relative to the table where it can be, so that moving the whole folder changes nothing."""
        if is_url(written):
            return unicodedata.normalize("NFC", written.removeprefix(f"{self.table.parent}/"))
        image = Path(written)
        folder = self.table.parent.resolve() if isinstance(self.table, Path) else Path()
        inside = image.relative_to(folder) if image.is_relative_to(folder) else image
        return unicodedata.normalize("NFC", posixpath.normpath(inside.as_posix()))


def _spelled(base: Path, written: str) -> str:
    """The first spelling of a path at which a file is; the plainest where there is none."""
    spellings = _spellings(written)
    return next((path for path in spellings[:-1] if os.path.exists(base / path)), spellings[-1])


def _spellings(written: str) -> Sequence[str]:
    plain = written.strip()
    return list(dict.fromkeys((written, plain, plain.replace("\\", "/"))))


def _any_there(base: Path, written: Iterable[str]) -> bool:
    return any(os.path.exists(base / spelling) for path in written for spelling in _spellings(path))
