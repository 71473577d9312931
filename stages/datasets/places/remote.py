"""Files at URLs, read through fsspec: `s3://`, `gs://`, `https://` and whatever else it knows. Only this module imports it.

Every failure is one sentence. What a listing tells of a file (size, ETag, times) is kept in its `Remote`, so that an unchanged
file is not read again. Nothing is written, here or there.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any, BinaryIO

from xmap.stages.datasets.places.place import MAX_BYTES, WEB, Remote, shown
from xmap.store.errors import InputError

# What may change with the bytes, in the words of several storages.
TAGS = ("ETag", "etag", "generation", "md5Hash", "LastModified", "Last-Modified", "last_modified", "updated", "mtime", "created")
DENIED = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "TokenRetrievalError")
AHEAD = 8 << 20
AT_ONCE = 16
PIECE = 1 << 20
# Of a web address that a library's error repeats.
QUERY = re.compile(r"\?[^\s'\")>]*=[^\s'\")>]*")
MISSING, UNREADABLE, UNREACHABLE = "missing", "unreadable", "unreachable"


class RemoteError(InputError):
    """A URL that cannot be read. `kind` is missing, unreadable (not allowed) or unreachable (nobody answered as expected)."""

    def __init__(self, url: str, kind: str, reason: str) -> None:
        self.url, self.kind, self.reason = url, kind, reason
        url = shown(url)
        said = {
            MISSING: f"{url} is not there; check the bucket and the path",
            UNREADABLE: f"{url} may not be read ({reason}); check the credentials that the environment gives",
            UNREACHABLE: f"{url} cannot be reached ({reason}); check the URL and the network, and run the same command again",
        }
        super().__init__(f"{said[kind]}.")


def look(place: Remote) -> Remote | None:
    """The file at a URL, with its size and tag; None for a folder, or where nothing is."""
    try:
        with _explained(place.url):
            files, path = _filesystem(place.url)
            files.invalidate_cache()
            info = files.info(path)
    except RemoteError as error:
        if error.kind == MISSING:
            return None
        raise
    return _remote(place.url, info) if info["type"] == "file" else None


def children(folder: Remote) -> tuple[list[Remote], list[Remote]]:
    """The folders and the files directly in a folder. Raises `RemoteError` where it is not there."""
    with _explained(folder.url):
        files, path = _filesystem(folder.url)
        files.invalidate_cache()
        found = {_below(path, str(info["name"])): info for info in files.ls(path, detail=True)}
    # Some storages list a marker for the folder itself.
    inner = {name: info for name, info in found.items() if name}
    folders = [folder / name for name, info in inner.items() if info["type"] == "directory"]
    return folders, [_remote((folder / name).url, info) for name, info in inner.items() if info["type"] == "file"]


def files_below(folder: Remote) -> list[Remote]:
    """All files below a folder, in one listing. Raises `RemoteError` where it cannot be listed."""
    with _explained(folder.url):
        files, path = _filesystem(folder.url)
        files.invalidate_cache()
        found = files.find(path, detail=True)
    names = {_below(path, name): info for name, info in found.items()}
    return [_remote((folder / name).url, info) for name, info in names.items() if name and not str(info["name"]).endswith("/")]


def fitting(folder: Remote, pattern: str) -> list[Remote]:
    """The files below `folder` whose path there fits a glob pattern."""
    with _explained(folder.url):
        files, path = _filesystem(folder.url)
        files.invalidate_cache()
        found = files.glob(f"{path.rstrip('/')}/{pattern}", detail=True)
    return [_remote((folder / _below(path, name)).url, info) for name, info in found.items() if info["type"] == "file"]


def look_up(places: Sequence[Remote]) -> list[Remote]:
    """The same places with what listings tell of them; as they are where nothing is."""
    folders = {place.parent.url: place.parent for place in places if not place.url.startswith("http")}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = {file.url: file for files in pool.map(_files_in, folders.values()) for file in files}
        # Web servers list no folders.
        alone = [place for place in places if is_web(place)]
        found |= {file.url: file for file in pool.map(look, alone) if file is not None}
    return [found.get(place.url, place) for place in places]


def _files_in(folder: Remote) -> list[Remote]:
    try:
        return children(folder)[1]
    except RemoteError as error:
        if error.kind == MISSING:
            return []
        raise


@contextmanager
def open_remote(place: Remote) -> Iterator[BinaryIO]:
    """A file to be read, mostly from front to back; its reads raise `RemoteError` too."""
    with _explained(place.url):
        files, path = _filesystem(place.url)
        file = files.open(path, "rb", block_size=AHEAD, cache_type="readahead")
    with closing(file), io.BufferedReader(_Reader(place.url, file)) as reader:
        yield reader


def read_bytes(place: Remote, start: int | None = None, end: int | None = None) -> bytes:
    """The bytes of a file, or those from `start` to `end`; one byte too many of a file above `MAX_BYTES`. Raises `RemoteError`."""
    if start is not None and start == end:
        # A range has no form for nothing: S3 would give the whole file.
        return b""
    with _explained(place.url):
        files, path = _filesystem(place.url)
        data = _streamed(files, path, start, end) if is_web(place) else bytes(files.cat_file(path, start=start, end=end))
    if start is not None and end is not None and len(data) > end - start:
        raise RemoteError(place.url, UNREACHABLE, "it gives whole files only, no parts of them")
    return data


def is_web(place: Remote) -> bool:
    """Whether a web server gives the file, which may say neither how long it is nor end."""
    return place.url.lower().startswith(WEB)


def _streamed(files: Any, path: str, start: int | None, end: int | None) -> bytes:
    """What a web server gives, but no more than was asked and one byte: some ignore the range, some never end."""
    part = start is not None and end is not None
    headers = {"Range": f"bytes={start}-{(end or 0) - 1}"} if part else {}
    left = (end or 0) - (start or 0) + 1 if part else MAX_BYTES + 1
    pieces = []
    # Any size: without one fsspec would ask for it first.
    with closing(files.open(path, "rb", block_size=0, size=1, headers=headers)) as file:
        while left and (piece := file.read(min(left, PIECE))):
            pieces.append(piece)
            left -= len(piece)
    return b"".join(pieces)


def _filesystem(url: str) -> tuple[Any, str]:
    """The storage of a URL and the path in it. fsspec keeps one storage a process: a forked one gets its own."""
    if "::" in url:
        raise InputError(f"{shown(url)} chains several storages, of which some write copies to disk; give one plain URL.")
    try:
        from fsspec.core import url_to_fs

        files, path = url_to_fs(url)
    except ImportError as error:
        raise InputError(
            f"{shown(url)} needs a library that is not installed ({_line(error)}); install it; for S3 do `pip install 'xmap[remote]'`."
        ) from error
    except ValueError as error:
        raise InputError(f"{shown(url)} cannot be used ({_line(error)}); give a URL such as s3://bucket/folder.") from error
    return files, str(path)


class _Reader(io.RawIOBase):
    """An open remote file, whose failures are explained where they happen: in the middle of reading."""

    def __init__(self, url: str, file: Any) -> None:
        self._url, self._file = url, file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _explained(self._url):
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with _explained(self._url):
            return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())


@contextmanager
def _explained(url: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise RemoteError(url, MISSING, _line(error)) from error
    except PermissionError as error:
        raise RemoteError(url, UNREADABLE, _line(error)) from error
    # Each storage has errors of its own, which share no class: botocore's, aiohttp's, google's.
    except Exception as error:
        kind = UNREADABLE if type(error).__name__ in DENIED else UNREACHABLE
        raise RemoteError(url, kind, _line(error)) from error


def _remote(url: str, info: Mapping[str, Any]) -> Remote:
    tag = " ".join(str(info[name]) for name in TAGS if info.get(name))
    return Remote(url, info.get("size"), tag)


def _below(path: str, name: str) -> str:
    return name.rstrip("/")[len(path.rstrip("/")) :].lstrip("/")


def _line(error: Exception) -> str:
    return QUERY.sub("", next(iter(str(error).strip().splitlines()), type(error).__name__))
