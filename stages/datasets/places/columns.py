"""Places of many images at once: files by their paths, in one column of text; anything else one by one."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from xmap.stages.datasets.places.place import Place

Array = npt.NDArray[Any]
# Texts of any length, in UTF-8: they compare as their code points do.
TEXT = np.dtypes.StringDType()
# So many texts are Python's at a time.
MANY = 1 << 16


class Places(Protocol):
    """A column of places."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> Place: ...

    def take(self, rows: Array) -> Places:
        """Some of them, in the given order."""

    def names(self) -> Iterator[str]:
        """What each ends with, as its last part does."""


@dataclass(frozen=True, eq=False)
class Files:
    """Files of this machine: `paths` (n,) `TEXT`, below `root` where they are not whole."""

    root: str
    paths: Array

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> Path:
        return Path(self.root, self.paths[row])

    def take(self, rows: Array) -> Files:
        """Some of them, in the given order."""
        return Files(self.root, self.paths[rows])

    def names(self) -> Iterator[str]:
        """What each ends with, as its last part does."""
        return texts(self.paths)

    def folders(self) -> Iterator[tuple[str, Array]]:
        """Each folder with `/` at its end, as the paths have it, and the rows of the files directly in it."""
        found: dict[str, array[int]] = {}
        for row, path in enumerate(texts(self.paths)):
            folder = path[: path.rfind("/") + 1]
            if folder not in found:
                found[folder] = array("q")
            found[folder].append(row)
        yield from ((folder, np.frombuffer(rows, np.int64)) for folder, rows in found.items())


@dataclass(frozen=True, eq=False)
class Listed:
    """Places of any kind (n,), one object each."""

    places: Array

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, row: int) -> Place:
        place: Place = self.places[row]
        return place

    def take(self, rows: Array) -> Listed:
        """Some of them, in the given order."""
        return Listed(self.places[rows])

    def names(self) -> Iterator[str]:
        """What each ends with, as its last part does."""
        return (place.name for place in self.places)


def places_of(places: Iterable[Place]) -> Places:
    """A column of these places."""
    listed = list(places)
    if all(isinstance(place, Path) for place in listed):
        try:
            return Files("", column(map(str, listed)))
        except UnicodeEncodeError:
            # A name of bytes that are no text.
            pass
    objects = np.empty(len(listed), object)
    objects[:] = listed
    return Listed(objects)


def joined_places(first: Places, others: Places) -> Places:
    """The places of two columns, one after the other; those of files stay a column of paths."""
    if isinstance(first, Files) and isinstance(others, Files):
        whole = column(os.path.abspath(others[row]) for row in range(len(others)))
        return Files(first.root, np.concatenate([first.paths, whole]))
    return places_of(part[row] for part in (first, others) for row in range(len(part)))


def column(words: Iterable[str]) -> Array:
    """A column of texts (n,) `TEXT`. Raises `UnicodeEncodeError` for half of a character."""
    listed = list(words)
    return np.asarray(listed, TEXT) if listed else np.empty(0, TEXT)


def texts(words: Array) -> Iterator[str]:
    """The texts of a column, not all of them as Python's at once."""
    for start in range(0, len(words), MANY):
        yield from words[start : start + MANY].tolist()
