"""Files at URLs, read through fsspec: `s3://`, `gs://`, `https://` and whatever else it knows. Only this module imports it.

Every failure is one sentence. What a listing tells of a file (size, ETag, times) is kept in its `Remote`, so that an unchanged
file is not read again. Nothing is written, here or there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from stages.datasets.places import Remote
from store.errors import InputError

# What may change with the bytes, in the words of several storages.
TAGS = ("ETag", "etag", "generation", "md5Hash", "LastModified", "last_modified", "updated", "mtime", "created")
DENIED = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "TokenRetrievalError")
AHEAD = 8 << 20
MISSING, UNREADABLE, UNREACHABLE = "missing", "unreadable", "unreachable"


class RemoteError(InputError):
    """A URL that cannot be read. `kind` is missing, unreadable (not allowed) or unreachable (nobody answered as expected)."""

    def __init__(self, url: str, kind: str, reason: str) -> None:
        self.url, self.kind, self.reason = url, kind, reason
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


@contextmanager
def open_remote(place: Remote) -> Iterator[BinaryIO]:
    """A file to be read, mostly from front to back. Raises `RemoteError`."""
    with _explained(place.url):
        files, path = _filesystem(place.url)
        with files.open(path, "rb", block_size=AHEAD, cache_type="readahead") as file:
            yield cast(BinaryIO, file)


def read_bytes(place: Remote, start: int | None = None, end: int | None = None) -> bytes:
    """The bytes of a file, or those from `start` to `end`. Raises `RemoteError`."""
    with _explained(place.url):
        files, path = _filesystem(place.url)
        return bytes(files.cat_file(path, start=start, end=end))


def _filesystem(url: str) -> tuple[Any, str]:
    """The storage of a URL and the path in it. fsspec keeps one storage a process: a forked one gets its own."""
    if "::" in url:
        raise InputError(f"{url} chains several storages, of which some write copies to disk; give one plain URL.")
    try:
        from fsspec.core import url_to_fs

        files, path = url_to_fs(url)
    except ImportError as error:
        raise InputError(
            f"{url} needs a library that is not installed ({_line(error)}); install it with `pip install 'xmap[remote]'`."
        ) from error
    except ValueError as error:
        raise InputError(f"{url} cannot be used ({_line(error)}); give a URL such as s3://bucket/folder.") from error
    return files, str(path)


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
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
