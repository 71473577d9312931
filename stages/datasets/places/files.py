"""Files and folders, here or at URLs, asked in one way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from xmap.stages.datasets.places.pictures import is_left_behind, lies_in_leftovers
from xmap.stages.datasets.places.place import Location, relative
from xmap.stages.datasets.places.remote import RemoteError, children, files_below, look, open_remote, read_bytes
from xmap.store.disk.files import open_plain, read_plain
from xmap.store.errors import InputError


def as_file(where: Location) -> Location | None:
    """`where`, if a file is there; of a remote one what its listing tells of it."""
    if isinstance(where, Path):
        return where if where.is_file() else None
    return look(where)


def contents(folder: Location) -> tuple[list[Location], list[Location]]:
    """The folders and the files directly in a folder, but for what is hidden or left behind, sorted; none where there is no folder.

    Raises `InputError` where it cannot be listed.
    """
    if isinstance(folder, Path):
        found = _listed(folder) if folder.is_dir() else []
        folders: list[Location] = [path for path in found if path.is_dir()]
        files: list[Location] = [path for path in found if path.is_file()]
        return folders, files
    try:
        inner, below = children(folder)
    except RemoteError as error:
        if error.kind == "missing":
            return [], []
        raise
    shown = [sorted((item for item in items if not is_left_behind(item.name)), key=str) for items in (inner, below)]
    return [*shown[0]], [*shown[1]]


def everything_below(folder: Location) -> Iterator[Location]:
    """All files below a folder, but for what is hidden or left behind, in no order."""
    files = (path for path in folder.rglob("*") if path.is_file()) if isinstance(folder, Path) else iter(files_below(folder))
    yield from (file for file in files if not lies_in_leftovers(relative(folder, file).split("/")))


@contextmanager
def opened(where: Location) -> Iterator[BinaryIO]:
    """A file to be read. Raises `InputError` where it cannot be."""
    if isinstance(where, Path):
        try:
            with open_plain(where) as file:
                yield file
        except OSError as error:
            raise InputError(f"cannot read {where}: {error.strerror}; make it readable, or move it out of the data.") from error
    else:
        with open_remote(where) as remote:
            yield remote


def text_of(where: Location) -> str:
    """The text of a UTF-8 file. Raises `OSError` or `RemoteError`, and `UnicodeDecodeError`."""
    data = read_plain(where) if isinstance(where, Path) else read_bytes(where)
    return data.decode("utf-8-sig")


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not is_left_behind(path.name))
    except OSError as error:
        raise InputError(f"cannot list {folder}: {error.strerror}; make it readable or move it out of the data.") from error
