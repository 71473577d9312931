"""Which S3 paths a request may name, and the reading of their files."""

from __future__ import annotations

import re
from collections.abc import Sequence

from xmap.pipeline.serve.refusals import Refused
from xmap.stages.datasets.places.place import Remote, shown
from xmap.stages.datasets.places.remote import MISSING, RemoteError, look, read_bytes
from xmap.stages.images.decode import BadImage
from xmap.store.errors import InputError

PREFIX = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/(?:[^/]+/)*")
# What some reader on the way may take for more than a name: patterns, queries, escapes, chains of storages, other separators.
MEANT = re.compile(r"[\x00-\x1f\x7f-\x9f\\?#*\[\]%]|::|@")
# Said of what storages answer, without their own words: those name hosts and accounts.
REASONS = {"missing": "there is no such object", "unreadable": "the server may not read it", "unreachable": "the storage does not answer"}


class Allowed:
    """Prefixes below which S3 paths are read. Raises `InputError` for what is no `s3://bucket/prefix/`."""

    def __init__(self, prefixes: Sequence[str] = ()) -> None:
        for prefix in prefixes:
            if not PREFIX.fullmatch(prefix) or _is_odd(prefix):
                raise InputError(f"--allow {shown(prefix)}: give a bucket and a prefix that ends with a slash, as s3://bucket/photos/.")
        self._prefixes = tuple(prefixes)

    def place(self, url: str) -> Remote:
        """The file at a URL that a request names. Raises `Refused` unless it is below a prefix, letter by letter."""
        if not self._prefixes:
            raise Refused("not-allowed", "this server reads no S3 paths; send the image itself.")
        below = any(url.startswith(prefix) and len(url) > len(prefix) for prefix in self._prefixes)
        if not below or _is_odd(url) or url.endswith("/"):
            raise Refused("not-allowed", "the S3 path is below none of the prefixes that this server allows; send the image itself.")
        return Remote(url)


def _is_odd(url: str) -> bool:
    """Whether a path has parts that lead elsewhere in some reader."""
    parts = url.removeprefix("s3://").rstrip("/").split("/")
    return MEANT.search(url) is not None or any(part in ("", ".", "..") for part in parts)


def fetched(place: Remote, most: int) -> bytes | BadImage:
    """The bytes of a file, at most so many, or why there are none."""
    try:
        found = look(place)
        if found is None:
            return BadImage(MISSING, REASONS[MISSING])
        size = found.size or 0
        if size > most:
            return BadImage("too-large", f"the file has {size:,} bytes, the limit is {most:,}")
        return read_bytes(place, 0, size) or BadImage("empty", "the file has 0 bytes")
    except RemoteError as error:
        return BadImage(error.kind, REASONS[error.kind])
