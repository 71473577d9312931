"""The chunks of a PNG that Pillow does not tell of, or stumbles over."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Texts and profiles hold nothing of the picture. Short plain texts stay: one of them may say which side is up.
PROFILE, PACKED, TEXTS = b"iCCP", b"zTXt", (b"tEXt", b"iTXt")
SHORT = 1 << 16
# Bytes of an empty chunk. Writers put 8 kB or more of a picture into one, which the largest file has so many of; a million empty ones
# cost their reader ten seconds.
SMALLEST, MOST = 12, 1 << 17


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk's name, and where it and its body lie in the file."""

    name: bytes
    start: int
    body: int
    end: int


def chunks(data: bytes) -> Iterator[Chunk]:
    """The whole chunks of a PNG, in order; none of another file."""
    place = len(SIGNATURE) if data.startswith(SIGNATURE) else len(data)
    while place + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length
        if end > len(data):
            return
        yield Chunk(name, place, place + 8, end)
        place = end


def has_too_many_chunks(data: bytes) -> bool:
    """Whether a PNG has more than `MOST` chunks."""
    place, count = (len(SIGNATURE), 0) if data.startswith(SIGNATURE) else (len(data), 0)
    while place + SMALLEST <= len(data) and count <= MOST:
        place += SMALLEST + int.from_bytes(data[place : place + 4], "big")
        count += 1
    return count > MOST


def significant_bits(data: bytes) -> int | None:
    """The bits that the values of a PNG had before they were stored (its sBIT chunk); None where it does not say."""
    for chunk in chunks(data):
        if chunk.name == b"sBIT":
            return max(data[chunk.body : chunk.end - 4], default=None)
        if chunk.name == b"IDAT":
            break
    return None


def without_texts(data: bytes) -> bytes:
    """The same picture without its profile and its long or packed texts, whose size Pillow refuses."""
    dropped = [chunk for chunk in chunks(data) if _is_ballast(chunk, data)]
    kept, place = [], 0
    for chunk in dropped:
        kept.append(data[place : chunk.start])
        place = chunk.end
    return b"".join([*kept, data[place:]])


def _is_ballast(chunk: Chunk, data: bytes) -> bool:
    if chunk.name in (PROFILE, PACKED):
        return True
    body = data[chunk.body : min(chunk.end - 4, chunk.body + 128)]
    packed = chunk.name == b"iTXt" and body.partition(b"\0")[2][:1] != b"\0"
    return chunk.name in TEXTS and (packed or chunk.end - chunk.body > SHORT)
