"""The members of a tar, in stream order. A tar that could surprise anybody is refused, with the member named.

Headers are parsed by `tarfile`, one block at a time. Walking is done here: `tarfile`'s own walk takes a broken header for the end,
reads extension headers of any length into memory, and lets them change a member's size. Nothing is ever unpacked.
"""

from __future__ import annotations

import posixpath
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from xmap.stages.datasets.places.pictures import is_text
from xmap.stages.datasets.places.place import MAX_BYTES
from xmap.store.errors import InputError

BLOCK = 512
MAX_MEMBERS = 1 << 20
# Long names and the like: far more than any of them needs.
MAX_EXTENSION = 1 << 16
PIECE = 1 << 20
FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
LONG_NAME, LONG_LINK = tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK
PAX, PAX_OF_ALL = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE), tarfile.XGLTYPE
EXTENSIONS = (LONG_NAME, LONG_LINK, *PAX, PAX_OF_ALL)
REFUSED: Mapping[bytes, str] = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}
COMPRESSED: Mapping[bytes, str] = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ": "unxz", b"\x28\xb5\x2f\xfd": "unzstd"}
MAKE_AGAIN = "make it again from plain files with `tar -cf`"


@dataclass(frozen=True)
class Entry:
    """A regular file in a tar: its name without `./`, and where its bytes are."""

    name: str
    offset: int
    size: int


def entries(file: BinaryIO, place: str) -> Iterator[Entry]:
    """The regular files of the tar `file`, called `place` in messages; who takes an entry may read its bytes at once.

    Raises `InputError` for a tar that is compressed, cut short or damaged, and for members that are no plain files inside it.
    """
    position, count = 0, 0
    extensions: dict[str, str] = {}
    while (header := _header(file, position, place)) is not None:
        count += 1
        if count > MAX_MEMBERS:
            raise InputError(f"{place} has more than {MAX_MEMBERS:,} members; divide it into several tars.")
        data = position + BLOCK
        if header.type in EXTENSIONS:
            _refuse_long(header, place)
            extensions.update(_extension(header, _exactly(file, data, header.size, place), place))
            position = data + _padded(header.size)
            continue
        name = _plain_name(header, extensions, place)
        extensions = {}
        is_file = header.type in FILES
        position = data + (_padded(header.size) if is_file else 0)
        if is_file:
            yield Entry(name, data, header.size)
    if extensions:
        raise InputError(f"{place} is cut short: it ends before the member {extensions.get('path', '')!r}; {MAKE_AGAIN}.")
    _refuse_rest(file, position + BLOCK, place)


def read_member(file: BinaryIO, entry: Entry, place: str) -> bytes:
    """The bytes of an entry. Raises `InputError` where the tar ends before them."""
    return _exactly(file, entry.offset, entry.size, place)


def refuse(place: str, name: str, what: str) -> InputError:
    """The error for a member that a tar of images does not have."""
    return InputError(f"{place}: the member {name!r} {what}; {MAKE_AGAIN}.")


def _header(file: BinaryIO, position: int, place: str) -> tarfile.TarInfo | None:
    """The header at `position`; None at the end mark."""
    block = _exactly(file, position, BLOCK, place)
    if not any(block):
        return None
    if position == 0:
        tool = next((tool for magic, tool in COMPRESSED.items() if block.startswith(magic)), None)
        if tool:
            raise InputError(f"{place} is compressed, so that no image in it can be reached by itself; unpack it with `{tool}`.")
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        what = "is no tar" if position == 0 else f"is damaged at byte {position:,}"
        raise InputError(f"{place} {what} ({error}); {MAKE_AGAIN}.") from error


def _exactly(file: BinaryIO, position: int, size: int, place: str) -> bytes:
    if file.tell() != position:
        file.seek(position)
    data = file.read(size)
    if len(data) != size:
        raise InputError(f"{place} is cut short: it ends at byte {position + len(data):,}, without an end mark; copy it again.")
    return data


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _refuse_long(header: tarfile.TarInfo, place: str) -> None:
    if not 0 <= header.size <= MAX_EXTENSION:
        raise refuse(place, header.name, f"has an extension header of {header.size:,} bytes")


def _extension(header: tarfile.TarInfo, data: bytes, place: str) -> dict[str, str]:
    """What an extension header says of the member after it. Raises `InputError` for what changes where bytes are."""
    if header.type in (LONG_NAME, LONG_LINK):
        return {"path": data.partition(b"\0")[0].decode("utf-8", "surrogateescape")} if header.type == LONG_NAME else {}
    try:
        found = dict(_records(data))
    except ValueError as error:
        raise refuse(place, header.name, "has a damaged extension header") from error
    if any(key.startswith("GNU.sparse") for key in found):
        raise refuse(place, found.get("path", header.name), "is a sparse file")
    kept = {key: value for key, value in found.items() if key in ("path", "size")}
    if header.type == PAX_OF_ALL and kept:
        raise refuse(place, header.name, f"sets the {' and '.join(kept)} of all members")
    return kept


def _records(data: bytes) -> Iterator[tuple[str, str]]:
    """The `length key=value` lines of a pax header. Raises `ValueError`."""
    position, end = 0, len(data.rstrip(b"\0"))
    while position < end:
        digits, _, _ = data[position : position + 8].partition(b" ")
        length = int(digits) if digits.isdigit() and len(digits) < 8 else 0
        record = data[position : position + length]
        key, equals, value = record[len(digits) + 1 : -1].partition(b"=")
        if not equals or len(record) != length or not record.endswith(b"\n"):
            raise ValueError("not a pax record")
        yield key.decode(), value.decode("utf-8", "surrogateescape")
        position += length


def _plain_name(header: tarfile.TarInfo, extensions: Mapping[str, str], place: str) -> str:
    """A member's name without `./`, if the member is a file or folder that stays inside the tar and is as long as it says."""
    name = extensions.get("path", header.name)
    if header.type not in (*FILES, tarfile.DIRTYPE):
        raise refuse(place, name, f"is {REFUSED.get(header.type, 'of an unknown kind')}")
    if name.startswith("/"):
        raise refuse(place, name, "has an absolute name")
    if ".." in name.split("/"):
        raise refuse(place, name, "climbs out of the tar with `..`")
    if "\0" in name or not is_text(name):
        raise refuse(place, name, "has a name that is not UTF-8 text")
    said = extensions.get("size", str(header.size))
    if said != str(header.size) or header.size < 0 or (header.type == tarfile.DIRTYPE and header.size):
        raise refuse(place, name, f"has headers that disagree on its size ({header.size:,} and {said})")
    if header.size > MAX_BYTES:
        raise refuse(place, name, f"has {header.size:,} bytes, the limit is {MAX_BYTES:,}")
    return posixpath.normpath(name)


def _refuse_rest(file: BinaryIO, position: int, place: str) -> None:
    """Tars that were joined with `cat` have members behind the first end mark, which would vanish. Any zeros are only padding."""
    file.seek(position)
    while rest := file.read(PIECE):
        if any(rest):
            raise InputError(
                f"{place} goes on behind its end mark, so what follows would be lost; divide it into tars that end where they say."
            )
