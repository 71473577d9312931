"""What a server takes at most, and the receiving of bodies within that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from xmap.pipeline.serve.refusals import Refused
from xmap.store.errors import InputError

# Bodies of the largest size that are held at once.
BODIES = 8

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


@dataclass(frozen=True)
class Limits:
    """Bytes of a request's body, pixels of an image, images of a request and of all that wait, seconds to receive a request and as
    many to answer it, connections held open. Raises `InputError` where they do not fit together."""

    bytes: int = 32 << 20
    pixels: int = 50_000_000
    images: int = 64
    queue: int = 256
    seconds: float = 30.0
    connections: int = 512

    def __post_init__(self) -> None:
        if self.queue < self.images:
            raise InputError(f"--queue {self.queue} takes no request of {self.images} images; give at least as many as --max-images.")


@dataclass(eq=False)
class _Reading:
    """A body that is being received, and the limit that ends it."""

    data: bytearray = field(default_factory=bytearray)
    limit: asyncio.Timeout | None = None
    dropped: bool = False


class Intake:
    """Receives bodies. All that are held take no more than `BODIES` of the largest: else the one that began first is dropped.

    So who sends slowly, or never ends, loses to who sends at once, not the other way round.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits, self._most = limits, BODIES * limits.bytes
        # The bytes of all bodies, and those that still come in, the oldest first.
        self.held, self._reading = 0, dict[_Reading, None]()

    @asynccontextmanager
    async def body(self, receive: Receive, declared: str | None) -> AsyncIterator[bytes]:
        """A request's body, whose bytes count as held while the block runs. Raises `Refused`."""
        if declared is not None and declared.isdecimal() and int(declared[:20]) > self._limits.bytes:
            raise self._too_large()
        reading = _Reading()
        self._reading[reading] = None
        try:
            await self._receive(receive, reading)
            self._reading.pop(reading, None)
            yield bytes(reading.data)
        finally:
            self._forget(reading)

    async def _receive(self, receive: Receive, reading: _Reading) -> None:
        try:
            async with asyncio.timeout(self._limits.seconds) as reading.limit:
                while await self._piece(receive, reading):
                    pass
        except TimeoutError as error:
            if reading.dropped:
                raise Refused("busy", "the server received too much at once; send this request again.") from error
            raise Refused("slow", f"the request did not arrive within {self._limits.seconds:g} s; send it faster.") from error

    async def _piece(self, receive: Receive, reading: _Reading) -> bool:
        """Take one piece; whether there are more."""
        message = await receive()
        if message["type"] != "http.request":
            raise Refused("malformed", "the body ends before it is whole.")
        piece = message.get("body", b"")
        if len(reading.data) + len(piece) > self._limits.bytes:
            raise self._too_large()
        reading.data += piece
        self.held += len(piece)
        while self.held > self._most and self._reading:
            self._drop(next(iter(self._reading)))
        return bool(message.get("more_body"))

    def _drop(self, oldest: _Reading) -> None:
        oldest.dropped = True
        self._forget(oldest)
        if oldest.limit is not None:
            oldest.limit.reschedule(asyncio.get_running_loop().time())

    def _forget(self, reading: _Reading) -> None:
        self._reading.pop(reading, None)
        self.held -= len(reading.data)
        reading.data = bytearray()

    def _too_large(self) -> Refused:
        return Refused("too-large", f"the request has more than {self._limits.bytes:,} bytes; send fewer or smaller images.")
