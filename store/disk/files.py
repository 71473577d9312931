"""Files: written so that they are whole or absent, and read only where a plain file lies.

A file is written under a temporary name in its own folder, synced, renamed over the final name, and the folder is synced:
after a crash or a power cut at any moment the final name holds the old bytes, the new bytes, or nothing. What a failed sync leaves
is not synced again, as the system may have dropped it: it goes, and is written anew under another name.

What is read may have been put there by anybody: links, FIFOs, devices and folders in a file's place are refused before they are opened,
and no file is read without a limit.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, BinaryIO, TypeVar

from blake3 import blake3

from xmap.store.disk.leftovers import TEMPORARY, claim, temporary_prefix
from xmap.store.errors import InputError, NotPlain, StoreDenied, StoreFull, XmapError

# Bytes of a manifest, a config, a query or a list of names: hundreds of times what any of them takes.
LIMIT = 64 << 20

Read = TypeVar("Read")


@contextmanager
def atomic_file(path: Path, expected: int | None = None) -> Iterator[BinaryIO]:
    """Yield a binary file that becomes `path` when the block ends, and leaves nothing when it raises.

    `expected` is the number of bytes about to be written where it is known; it makes a full disk an error before work.
    Raises `StoreFull` and `StoreDenied`.
    """
    temporary = path.with_name(f"{temporary_prefix(path)}{secrets.token_hex(8)}{TEMPORARY}")
    try:
        if expected is not None:
            require_space(path.parent, expected)
        # A name that nobody foresees, and a file that was not there: links lead nowhere, and no two writers share one.
        with open(temporary, "xb") as file:
            claim(file.fileno())
            yield file
            file.flush()
            os.fsync(file.fileno())
        new = not os.path.lexists(path)
        os.replace(temporary, path)
        try:
            sync(path.parent)
        except OSError:
            # It would be taken for one that stands. Where it took another's place there is nothing to go back to.
            if new:
                _remove(path)
            raise
    except BaseException as error:
        needed = _size(temporary) + 1 if expected is None else expected
        _remove(temporary)
        known = _explained(error, path, needed)
        if known is not None:
            raise known from error
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all."""
    with atomic_file(path, expected=len(data)) as file:
        file.write(data)


def make_folder(path: Path, flag: str = "--store DIR") -> None:
    """Create `path`, which a user names with `flag`, and its parents, such that they survive a power cut.

    Raises `StoreDenied`, `StoreFull` or `InputError` instead of a bare `OSError`.
    """
    try:
        new = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
        for folder in new:
            sync(folder.parent)
    except OSError as error:
        known = _explained(error, path, None)
        if known is not None:
            raise known from error
        blocked = error.errno in (errno.EEXIST, errno.ENOTDIR)
        problem = f"a file is where the folder {path} should be" if blocked else f"the folder {path} cannot be made ({error.strerror})"
        raise InputError(f"{problem}; choose another with {flag}.") from error


@contextmanager
def system_errors(path: Path) -> Iterator[None]:
    """Raise `StoreFull` or `StoreDenied` in place of the system's errors that mean so, for what is written at `path`."""
    try:
        yield
    except OSError as error:
        known = _explained(error, path, None)
        if known is not None:
            raise known from error
        raise


@contextmanager
def scratch_file(folder: Path) -> Iterator[IO[bytes]]:
    """A file in `folder` without a name, gone when the block ends. Raises `StoreFull` and `StoreDenied`."""
    with system_errors(folder), TemporaryFile(dir=folder) as file:
        yield file


def require_space(folder: Path, needed: int) -> None:
    """Raise `StoreFull` when `folder`'s disk has fewer than `needed` bytes free."""
    free = free_bytes(folder)
    if free < needed:
        raise StoreFull(folder, needed, free)


def free_bytes(folder: Path) -> int:
    """Bytes free on the disk that holds `folder` (or its nearest existing parent)."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def sync(path: Path) -> None:
    """Make the bytes of a file, or what was made, renamed and removed in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Make the files below `folder` survive a power cut, by whomever they were written; of a link there is no more than its name."""
    for where, _, names in os.walk(folder, topdown=False):
        for path in (Path(where, name) for name in names):
            if not path.is_symlink():
                sync(path)
        sync(Path(where))


def clear_temporaries(folder: Path) -> None:
    """Remove what killed writers left anywhere under `folder`. Call only while holding the artifact's lock."""
    for leftover in list(folder.rglob(f".*{TEMPORARY}")):
        _remove(leftover)


def require_plain(path: Path, below: Path) -> int:
    """The size of the plain file at `path`. Neither it nor a folder between it and `below` may be a link.

    For files whose readers open them by name. Raises `NotPlain`, and the system's `OSError` where there is nothing.
    """
    for folder in path.relative_to(below).parents:
        if stat.S_ISLNK(os.lstat(below / folder).st_mode) and folder.parts:
            raise NotPlain(path, "it is reached through a link")
    found = os.lstat(path)
    _require_regular(path, found.st_mode)
    return found.st_size


def open_plain(path: Path | str | bytes, below: Path | None = None) -> BinaryIO:
    """Open a plain file for reading, without waiting for anybody.

    A file that the user named may be a link to one. Of what others may have put below the folder `below`, nothing may be a link.
    Raises `NotPlain`, and the system's `OSError` where there is nothing or no permission.
    """
    if below is None:
        _require_regular(path, os.stat(path).st_mode)
    else:
        require_plain(Path(os.fsdecode(path)), below)
    # It may have changed since: neither a FIFO nor a link that took its place is waited for or followed.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if below is None else os.O_NOFOLLOW))
    try:
        _require_regular(path, os.fstat(descriptor).st_mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_plain(path: Path | str, limit: int = LIMIT, below: Path | None = None) -> bytes:
    """All bytes of a plain file (see `open_plain`), which may be `limit` at most. Raises `NotPlain` and `OSError`."""
    with open_plain(path, below) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise NotPlain(path, f"it has more than {limit:,} bytes")
    return data


def odd_below(folder: Path) -> Iterator[NotPlain]:
    """What below `folder` is neither a file nor a folder. No link is followed."""
    for where, folders, files in os.walk(folder):
        for path in (Path(where, name) for name in sorted([*folders, *files])):
            try:
                mode = os.lstat(path).st_mode
                if not stat.S_ISDIR(mode):
                    _require_regular(path, mode)
            except NotPlain as error:
                yield error
            except FileNotFoundError:
                # Another process removed it since it was listed.
                continue


def make_own_folder(path: Path) -> None:
    """Make the folder of an artifact where neither it, its stage's nor anything in it is a link: what is built would lie elsewhere.

    Raises `NotPlain`.
    """
    make_unlinked_folder(path)
    for odd in odd_below(path):
        raise odd


def make_unlinked_folder(path: Path) -> None:
    """Make a folder where neither it nor the one it lies in is a link. Raises `NotPlain`.

    Both stand after a power cut, also those that another process made, which may have been killed before it could see to that.
    """
    for folder in (path.parent, path):
        if folder.is_symlink():
            raise NotPlain(folder, "it is a link, not a folder")
    make_folder(path)
    with system_errors(path):
        for folder in (path.parent, path.parent.parent):
            sync(folder)


def insisted(read: Callable[[], Read]) -> Read:
    """What `read` gives, asked once more where a disk failed. Raises its `OSError`."""
    try:
        return read()
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return read()


def hash_file(path: Path | str | bytes) -> str:
    """The blake3 of a plain file's bytes, as 64 hex digits; reads 1 MiB at a time. Raises `NotPlain` and `OSError`."""
    digest = blake3()
    with open_plain(path) as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _explained(error: BaseException, path: Path, needed: int | None) -> XmapError | None:
    """What a system error at `path` means for the store, where that is known."""
    if not isinstance(error, OSError) or isinstance(error, XmapError):
        return None
    # What is said of an open file does not say which.
    error.filename = error.filename or os.fspath(path)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull(path, needed, free_bytes(path.parent))
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StoreDenied(path)
    return None


_KINDS = {
    stat.S_IFLNK: "a link",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def _require_regular(path: Path | str | bytes, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise NotPlain(os.fsdecode(path), f"it is {_KINDS.get(stat.S_IFMT(mode), 'something else')}, not a file")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        # Nothing more can be done about a leftover here; it never carries a final name, and the next build clears it.
        return
