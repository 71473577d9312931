"""What every request passes before anything of it is read, and by which it is counted: the host it names, and the token."""

from __future__ import annotations

import hmac
import ipaddress
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from xmap.pipeline.serve.metrics import Metrics
from xmap.pipeline.serve.refusals import Refused

# Asked by who starts and stops servers, without a token; it says nothing else.
HEALTH = "/health"
ADDRESSES = frozenset({"/predict", "/adapter", "/metrics", "/openapi.json", HEALTH})

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


class Gate:
    """An ASGI application around another. Without a `token` only requests to this machine's own names pass: a page of a stranger, open
    in a browser here, may else have its own name lead here and read the answers."""

    def __init__(self, inner: Application, token: bytes, metrics: Metrics) -> None:
        self._inner, self._token, self._metrics = inner, token, metrics

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            refused = self._refused(scope)
            await (self._inner(scope, receive, noted) if refused is None else _say(refused, noted))
        finally:
            address = scope["path"] if scope["path"] in ADDRESSES else "other"
            self._metrics.request(address, status, time.perf_counter() - started)

    def _refused(self, scope: Message) -> Refused | None:
        headers = dict(reversed(scope["headers"]))
        if not self._token:
            if not _is_here(headers.get(b"host", b"localhost").decode("latin-1").lower()):
                return Refused("wrong-host", "the request names another host; ask for localhost, or give the server a token.")
        elif scope["path"] != HEALTH:
            scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
            if not (hmac.compare_digest(given.strip(), self._token) and scheme.lower() == b"bearer"):
                return Refused("unauthorized", "the token is missing or another; send `Authorization: Bearer TOKEN`.")
        return None


def _is_here(host: str) -> bool:
    """Whether a host, with or without a port, is a name that only this machine has for itself."""
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    try:
        return name == "localhost" or ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


async def _say(refused: Refused, send: Send) -> None:
    body = json.dumps(refused.body).encode()
    given = {"content-type": "application/json", "content-length": str(len(body)), **refused.headers}
    headers = [(name.encode(), value.encode()) for name, value in given.items()]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
