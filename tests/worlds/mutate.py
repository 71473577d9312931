"""Bytes changed at random, the same way every time: what a bad disk, a bad copy or an attacker may leave."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator

LARGE = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 62, (1 << 64) - 1)
# Of all formats that are read: marks, tokens and numbers that mean something somewhere.
TOKENS = (
    b"PAR1", b"\x00", b'"', b"{", b"}", b"[", b"]", b"null", b"-1", b"1e999", b"NaN", b"../", b"\n", b",", b"PK\x03\x04", b"IxFI", b"IwFl",
    b"\x80\x02", b"cos\nsystem\n", b"F32", b"data_offsets", b"feature", b"label", b"\xff\xfe", b"[" * 2000,
)  # fmt: skip


def mutated(data: bytes, draw: random.Random) -> bytes:
    """`data` after one to four changes."""
    changed = bytearray(data)
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(changed) + 1)
        # Heads and tails hold what readers decide by.
        if draw.random() < 0.4:
            place = draw.choice((min(64, place), max(0, len(changed) - 64 + place % 64)))
        draw.choice(CHANGES)(changed, place, draw)
    return bytes(changed)


def mutations(data: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """`count` changed copies of `data`, and not `data` itself."""
    draw = random.Random(seed)  # noqa: S311
    while count:
        found = mutated(data, draw)
        if found != data:
            count -= 1
            yield found


def _flip(data: bytearray, place: int, draw: random.Random) -> None:
    if place < len(data):
        data[place] ^= 1 << draw.randrange(8)


def _number(data: bytearray, place: int, draw: random.Random) -> None:
    value = draw.choice(LARGE)
    width = draw.choice((1, 2, 4, 8))
    data[place : place + width] = struct.pack("<Q", value)[:width]


def _drop(data: bytearray, place: int, draw: random.Random) -> None:
    del data[place : place + draw.choice((1, 2, 8, 100, 10_000))]


def _double(data: bytearray, place: int, draw: random.Random) -> None:
    data[place:place] = data[place : place + draw.choice((1, 8, 100))]


def _token(data: bytearray, place: int, draw: random.Random) -> None:
    token = draw.choice(TOKENS)
    data[place : place + draw.choice((0, len(token)))] = token


def _cut(data: bytearray, place: int, draw: random.Random) -> None:
    del data[place:]


CHANGES: tuple[Callable[[bytearray, int, random.Random], None], ...] = (_flip, _flip, _flip, _number, _number, _drop, _double, _token, _cut)
