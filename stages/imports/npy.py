"""NumPy's `.npy` files, read some rows at a time by plain reads: no pickle, and no map of a file that somebody may cut meanwhile."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np

from xmap.store.disk.files import open_plain
from xmap.store.errors import InputError
from xmap.store.formats.tables import Array

NPY = ".npy"
# The longest list of fields, far beyond what one plain array says of itself.
HEADER = 10_000
# What such a file begins with, and by version of how many bytes the length of that list is.
MAGIC, LENGTHS = b"\x93NUMPY", {b"\1": 2, b"\2": 4, b"\3": 4}


@dataclass(frozen=True)
class Npy:
    """An array in a file, by its header: its values begin `start` bytes into it."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    fortran: bool
    start: int

    @classmethod
    def open(cls, path: Path, dimensions: int, kinds: str, what: str) -> Npy:
        """The array in `path`, which should have so many dimensions and one of NumPy's `kinds`; `what` says in words what it should be.

        Raises `InputError` for anything else, for an array of Python objects, and for a file with fewer values than it says.
        """
        with _opened(path) as file:
            shape, fortran, dtype = _header(file, path)
            start, size = file.tell(), file.seek(0, 2)
        if dtype.hasobject:
            raise InputError(
                f"{path} holds Python objects, which only a pickle can hold, and xmap runs no code from files; save plain numbers, or "
                "text by np.save(file, np.asarray(names, str))."
            )
        described = f"{path} is {' x '.join(f'{length:,}' for length in shape) or 'one value'} of {str(dtype)[:80]}"
        if len(shape) != dimensions or dtype.kind not in kinds or not (dtype.itemsize and prod(shape[1:])):
            raise InputError(f"{described}; it should be {what}.")
        if prod(shape) * dtype.itemsize > size - start:
            raise InputError(f"{described} and holds fewer bytes than that; save it again.")
        return cls(path, shape, dtype, fortran, start)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def row(self) -> int:
        """Bytes of a row."""
        return prod(self.shape[1:]) * self.dtype.itemsize

    def chunks(self, rows: int) -> Iterator[Array]:
        """The rows in order, so many at a time, in the byte order of this machine. Raises `InputError` where the file was cut."""
        with _opened(self.path) as file:
            for first in range(0, len(self), rows):
                part = self._part(file, first, min(rows, len(self) - first))
                yield part.astype(self.dtype.newbyteorder("="), copy=False)

    def _part(self, file: BinaryIO, first: int, count: int) -> Array:
        width = prod(self.shape[1:])
        if not self.fortran or width == 1:
            return self._values(file, first * width, count * width).reshape(count, *self.shape[1:])
        part = np.empty((count, *self.shape[1:]), self.dtype)
        for column in range(width):
            part[:, column] = self._values(file, column * len(self) + first, count)
        return part

    def _values(self, file: BinaryIO, place: int, count: int) -> Array:
        file.seek(self.start + place * self.dtype.itemsize)
        data = file.read(count * self.dtype.itemsize)
        if len(data) < count * self.dtype.itemsize:
            raise InputError(f"{self.path} became shorter while it was read; import it again.")
        return np.frombuffer(data, self.dtype, count)


def _opened(path: Path) -> BinaryIO:
    try:
        return open_plain(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}; name a .npy file.") from error


def _header(file: BinaryIO, path: Path) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    """Shape, whether columns lie together, and kind, by the literal that NumPy writes before the values; it is never run."""
    try:
        start, version = file.read(len(MAGIC)), file.read(2)
        length = int.from_bytes(file.read(LENGTHS[version[:1]]), "little")
        if start != MAGIC or length > HEADER:
            raise ValueError("another file")
        told = ast.literal_eval(file.read(length).decode("latin-1").strip())
        shape, fortran, kind = (told[name] for name in ("shape", "fortran_order", "descr"))
        if not (isinstance(kind, str) and isinstance(fortran, bool) and all(type(size) is int and size >= 0 for size in shape)):
            raise ValueError("no plain array")
        return tuple(shape), fortran, np.dtype(kind)
    except (ValueError, KeyError, TypeError, SyntaxError, OverflowError, RecursionError, MemoryError) as error:
        raise InputError(f"{path} is not a .npy file of one plain array; save it with np.save.") from error
