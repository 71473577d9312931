"""Where an image's bytes are: a file, a member of a tar, a cell of a Parquet table; here, or at a URL.

Places are plain values: they go to loading processes and to other machines. `stages.reading` reads them; `str(place)` names one
in messages. None of this enters a fingerprint: an image is its id and its bytes, wherever these lie.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

# A larger image is not read, wherever it lies.
MAX_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Remote:
    """A file or folder at a URL; `size` and `tag` (ETag or times: what changes with the bytes) where a listing told them.

    It answers to what the readers of folders and tables ask a `Path`.
    """

    url: str
    size: int | None = None
    tag: str = ""

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> Remote:
        return Remote(f"{self.url.rstrip('/')}/{name}")

    @property
    def name(self) -> str:
        return self.url.rstrip("/").rpartition("/")[2]

    @property
    def stem(self) -> str:
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> Remote:
        return Remote(self.url.rstrip("/").rpartition("/")[0])

    @property
    def stamp(self) -> str:
        """What changes when the file does; empty where the listing did not tell."""
        return f"{self.size}:{self.tag}" if self.tag and self.size is not None else ""


Location = Path | Remote


@dataclass(frozen=True, slots=True)
class Container:
    """A file that holds many images, and the `stamp` it had when it was listed (empty: unknown)."""

    where: Location
    stamp: str = ""


@dataclass(frozen=True, slots=True)
class Member:
    """An image inside a tar: `size` bytes from `offset` on, whose blake3 is `content`."""

    container: Container
    name: str
    offset: int
    size: int
    content: str

    def __str__(self) -> str:
        return f"{self.container.where}/{self.name}"


@dataclass(frozen=True, slots=True)
class Cell:
    """An image inside a Parquet table: row `row` of the file, `inside` its row group `group`; no `content` where it is null."""

    container: Container
    name: str
    column: str
    group: int
    inside: int
    content: str | None

    def __str__(self) -> str:
        return f"{self.container.where}/{self.name}"


Place = Path | Member | Cell | Remote


def location(text: str) -> Location:
    """What a path or URL given by a user points at."""
    return Remote(text) if is_url(text) else Path(text)


def is_url(text: str) -> bool:
    """Whether a text is a URL: everything else is a path of this machine."""
    scheme, found, _ = text.partition("://")
    return bool(found) and re.fullmatch(r"[A-Za-z][\w+.:-]*", scheme) is not None


def unit(place: Place) -> Location | None:
    """The file that a place shares with others, as whose parts they are extracted; None for a file of its own."""
    return place.container.where if isinstance(place, Member | Cell) else None


def relative(root: Location, inner: Location) -> str:
    """The path of `inner` below `root`, with `/`."""
    if isinstance(root, Path) and isinstance(inner, Path):
        return inner.relative_to(root).as_posix()
    return str(inner).rstrip("/")[len(str(root).rstrip("/")) + 1 :]
