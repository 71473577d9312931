"""Results that a user names a place for: written whole or not at all, and refused before any work where they cannot be.

A link is followed: it stays, and what it leads to is replaced. What is no regular file (a device, a FIFO, `/dev/stdout`) is written
to and never replaced or removed. `-` is stdout.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import BinaryIO

from xmap.store.disk.files import atomic_file
from xmap.store.disk.leftovers import clear, temporary_prefix
from xmap.store.errors import InputError, OutputError, StoreDenied, XmapError

STDOUT = "-"
LINKS = 40


class Output:
    """A place for a result, as a user named it with the flag `flag`. Making one raises `OutputError` where nothing can be written."""

    def __init__(self, named: Path | str, flag: str = "-o FILE") -> None:
        self.name, self.flag = os.fspath(named), flag
        self.path: Path | None = None
        self.descriptor: int | None = None
        self._mode: int | None = None
        if self.name == STDOUT:
            return
        if "\0" in self.name:
            raise self._refused("its name holds a null character")
        try:
            self.descriptor = _descriptor(Path(os.path.abspath(self.name)))
            if self.descriptor is None:
                self.path = _place(self.name)
                self._mode = self._checked(self.path)
        except OSError as error:
            raise self._refused(str(error.strerror)) from error

    @property
    def is_file(self) -> bool:
        """Whether it is, or will be, a regular file."""
        return self.path is not None and (self._mode is None or stat.S_ISREG(self._mode))

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """A binary file to write to; a regular one has its name when the block ends, and is as before where it raises.

        Raises `OutputError` and `StoreFull`.
        """
        if self.path is not None and self.is_file:
            with self._explained(self.path), atomic_file(self.path) as file:
                if self._mode is not None:
                    os.fchmod(file.fileno(), stat.S_IMODE(self._mode))
                yield file
            return
        with self._stream() as stream:
            yield stream
            stream.flush()

    def write(self, data: bytes) -> None:
        """Write all of it."""
        with self.open() as file:
            file.write(data)

    def _checked(self, path: Path) -> int | None:
        """The mode of what is at `path`, None for nothing. Raises `OutputError` where it or its folder is no place for a file."""
        mode = _mode(path)
        if self.name.endswith("/") or (mode is not None and stat.S_ISDIR(mode)):
            raise self._refused("a folder has that name")
        if mode is not None and not os.access(path, os.W_OK):
            raise self._refused("there is no permission to write it")
        if mode is None or stat.S_ISREG(mode):
            above = _mode(path.parent)
            if above is None or not stat.S_ISDIR(above):
                raise self._refused(f"{path.parent} is no folder" if above else f"there is no folder {path.parent}")
            if not os.access(path.parent, os.W_OK | os.X_OK):
                raise self._refused(f"there is no permission to write in {path.parent}")
            clear(path)
        return mode

    @contextmanager
    def _stream(self) -> Iterator[BinaryIO]:
        """What is no regular file, open for writing."""
        sys.stdout.flush()
        if self.path is None and self.descriptor is None:
            yield sys.stdout.buffer
            return
        try:
            # A device must be there already, and must not become the terminal of this process.
            place = os.dup(self.descriptor) if self.path is None else os.open(self.path, os.O_WRONLY | os.O_NOCTTY)  # type: ignore[arg-type]
            file = os.fdopen(place, "wb")
        except OSError as error:
            raise self._refused(str(error.strerror)) from error
        with file:
            yield file

    @contextmanager
    def _explained(self, path: Path) -> Iterator[None]:
        """`OutputError` for what the system says of this very file."""
        try:
            yield
        except StoreDenied as error:
            raise (self._refused("there is no permission to write it") if error.path == str(path) else error) from error
        except OSError as error:
            own = str(path), str(path.parent / temporary_prefix(path))
            if isinstance(error, XmapError) or not str(error.filename).startswith(own):
                raise
            raise self._refused(str(error.strerror)) from error

    def _refused(self, problem: str) -> OutputError:
        return OutputError(self.name, problem, self.flag)


def html_page(named: Path | str, flag: str = "-o FILE") -> Output:
    """A place for an HTML page, whose name says no other format. Raises `InputError`."""
    target = Output(named, flag)
    suffix = PurePath(target.name).suffix.lower()
    if target.is_file and suffix not in ("", ".html", ".htm"):
        raise InputError(f"{target.name}: it is to be an HTML page, and {suffix} is the suffix of something else; name it .html.")
    return target


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def _place(name: str) -> Path:
    """Where a name leads, through links. A pipe that another process has open, as `/proc/1/fd/1`, has no name but this."""
    path = Path(os.path.realpath(name))
    return path if os.path.lexists(path) or not os.path.exists(name) else Path(os.path.abspath(name))


def _descriptor(path: Path) -> int | None:
    """The descriptor of this process that `path` stands for, as `/dev/stdout` and `/dev/fd/3` do.

    Opening such a path by its name would start a redirected file anew, at its first byte.
    """
    for _ in range(LINKS):
        if path.name.isdigit() and re.fullmatch(rf"/dev/fd|/proc/{os.getpid()}(/task/\d+)?/fd", os.path.realpath(path.parent)):
            return int(path.name)
        if not path.is_symlink():
            return None
        path = Path(os.path.join(path.parent, os.readlink(path)))
    return None
