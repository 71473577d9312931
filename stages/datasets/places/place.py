"""Where an image's bytes are: a file, a member of a tar, a cell of a Parquet table; here, or at a URL.

Places are plain values: they go to other processes and machines. `stages.images.read` reads them; `str(place)` names one
in messages. None of this enters a fingerprint: an image is its id and its bytes, wherever these lie.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from xmap.store.errors import InputError

# A larger image is not read, wherever it lies.
MAX_BYTES = 1 << 30
# Schemes by which fsspec opens files of the machine it runs on, itself or through another storage.
OF_THIS_MACHINE = (
    "async_wrapper", "asynclocal", "asyncwrapper", "blockcache", "cached", "dir", "file", "filecache", "generic", "git", "libarchive",
    "local", "reference", "simplecache", "tar", "zip",
)  # fmt: skip
WEB = ("http", "https")
S3 = ("s3", "s3a")


@dataclass(frozen=True, slots=True)
class Remote:
    """A file or folder at a URL; `size` and `tag` (ETag or times: what changes with the bytes) where a listing told them.

    It answers to what the readers of folders and tables ask a `Path`. Its text and its name lack the query of a web address.
    """

    url: str
    size: int | None = None
    tag: str = ""

    def __str__(self) -> str:
        return shown(self.url)

    def __truediv__(self, name: str) -> Remote:
        return Remote(f"{self.url.rstrip('/')}/{name}")

    @property
    def name(self) -> str:
        return str(self).rstrip("/").rpartition("/")[2]

    @property
    def stem(self) -> str:
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> Remote:
        return Remote(str(self).rstrip("/").rpartition("/")[0])

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
    """What a path or URL given by a user points at. Raises `InputError` for a URL with credentials in it."""
    if not is_url(text):
        return Path(text)
    if _user(text):
        raise InputError(f"{shown(text)} has a user or password in it; leave them out, credentials come from the environment.")
    return Remote(text)


def is_url(text: str) -> bool:
    """Whether a text is a URL: everything else is a path of this machine."""
    scheme, found, _ = text.partition("://")
    return bool(found) and re.fullmatch(r"[A-Za-z][\w+.:-]*", scheme) is not None


def is_of_this_machine(url: str) -> bool:
    """Whether a URL names a file of the machine it is read on."""
    return _scheme(url) in OF_THIS_MACHINE


def shown(text: str) -> str:
    """A path or URL as it is said and recorded: without credentials, and without a web address's query, which may be a signature."""
    if not is_url(text):
        return text
    start = text.index("://") + 3
    plain = f"{text[:start]}{text[start + len(_user(text)) :]}"
    return plain.partition("?")[0] if _scheme(text) in WEB else plain


def _scheme(url: str) -> str:
    return url.partition("://")[0].rpartition(":")[2].lower()


def _user(url: str) -> str:
    """The `key:secret@` of a URL; empty where there is none. The container in `abfs://container@account` is no user."""
    scheme, rest = _scheme(url), url.partition("://")[2]
    host = re.split("[/?#]", rest, maxsplit=1)[0]
    user, at, _ = host.rpartition("@")
    if at and (":" in user or scheme in WEB):
        return user + at
    # Secrets of S3 often hold a slash; only the name of an access point has colons too.
    user, at, _ = rest.rpartition("@")
    return user + at if scheme in S3 and ":" in host and not rest.startswith("arn:") else ""


def unit(place: Place) -> Location | None:
    """The file that a place shares with others, as whose parts they are extracted; None for a file of its own."""
    return place.container.where if isinstance(place, Member | Cell) else None


def relative(root: Location, inner: Location) -> str:
    """The path of `inner` below `root`, with `/`."""
    if isinstance(root, Path) and isinstance(inner, Path):
        return inner.relative_to(root).as_posix()
    return str(inner).rstrip("/")[len(str(root).rstrip("/")) + 1 :]
