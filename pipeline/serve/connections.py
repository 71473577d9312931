"""Connections that are held open: so many at most, and none for long without a request.

Where all are taken, the one that has waited longest without a whole request gives way to a new one: who opens thousands and sends nothing
keeps nobody else out. Only this module knows the inside of uvicorn's reader of HTTP.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from xmap.pipeline.serve.refusals import Refused

# Within these a request's head must be there, counted from the connection or from the answer before.
IDLE_SECONDS = 10.0
# And for so long the rest of a body is thrown away that was answered before its end: closed at once, its sender might miss the answer.
LINGER_SECONDS = 2.0
SWEEP_SECONDS = 0.2
MALFORMED = Refused("malformed", "the request is no HTTP/1.1; send it as RFC 9112 has it.")
FULL = Refused("busy", "all connections are at work; try again in a moment.")


class Connections:
    """All connections of a server, the oldest first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: dict[Connection, None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Connection) -> bool:
        """Take in a connection; whether there was room or another gave way."""
        while len(self._open) >= self._most:
            oldest = next((found for found in self._open if found.state() != "working"), None)
            if oldest is None:
                return False
            self.remove(oldest)
            oldest.abort()
        self._open[connection] = None
        return True

    def renew(self, connection: Connection) -> None:
        """A connection has got its answer: it is the youngest of those that wait."""
        if connection in self._open:
            self._open[connection] = self._open.pop(connection)

    def remove(self, connection: Connection) -> None:
        """A connection has ended."""
        self._open.pop(connection, None)

    async def sweep(self) -> None:
        """End connections that have waited too long, for ever."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            for connection in list(self._late()):
                self.remove(connection)
                connection.abort()

    def _late(self) -> Iterator[Connection]:
        now = asyncio.get_running_loop().time()
        limits = {"waiting": IDLE_SECONDS, "lingering": LINGER_SECONDS}
        return (found for found in self._open if now - found.since > limits.get(found.state(), float("inf")))


class Connection(H11Protocol):
    """One connection."""

    among: Connections
    since = 0.0

    def state(self) -> str:
        """Waiting for a request's head, receiving its body, working on the answer, or lingering: answered before the body's end."""
        if self.cycle is None or (self.cycle.response_complete and not self.cycle.more_body):
            return "waiting"
        if self.cycle.response_complete:
            return "lingering"
        return "receiving" if self.cycle.more_body else "working"

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.since = self.loop.time()
        super().connection_made(transport)
        if not self.among.add(self):
            self._refuse(FULL)

    def connection_lost(self, exc: Exception | None) -> None:
        self.among.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self.transport.is_closing():
            super().data_received(data)

    def on_response_complete(self) -> None:
        self.since = self.loop.time()
        self.among.renew(self)
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is refused in the form of all refusals."""
        self._refuse(MALFORMED)

    def abort(self) -> None:
        """End it at once, whatever is still to be sent."""
        if not self.transport.is_closing() and self.transport.get_write_buffer_size() == 0:
            self.transport.close()
        else:
            self.transport.abort()

    def _refuse(self, refused: Refused) -> None:
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE) or self.transport.is_closing():
            self.transport.abort()
            return
        body = json.dumps(refused.body).encode()
        given = {"content-type": "application/json", "content-length": str(len(body)), "connection": "close", **refused.headers}
        lines = [f"HTTP/1.1 {refused.status} {refused.kind}", *(f"{name}: {value}" for name, value in given.items())]
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        self.transport.close()


def protocol_of(connections: Connections) -> type[Connection]:
    """The reader of HTTP whose connections are among these."""
    made: Any = type("Bounded", (Connection,), {"among": connections})
    found: type[Connection] = made
    return found
