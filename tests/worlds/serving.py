"""A real server on a free port of this machine, and who asks it."""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

from xmap.pipeline.adapters.choice import load_chosen
from xmap.pipeline.serve.allowed import Allowed
from xmap.pipeline.serve.limits import Limits
from xmap.pipeline.serve.loaded import LoadedAdapter, load_served
from xmap.pipeline.serve.questions import Wanted
from xmap.pipeline.serve.refusals import KINDS
from xmap.pipeline.serve.server import Serving, bound
from xmap.pipeline.serve.service import Setup
from xmap.store.artifacts.artifact import Store

BOUNDARY = "a-boundary-of-tests"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
JSON = "application/json"
RUN = ("run", "--model", "xmap-tiny", "--views", "1", "--batch-size", "4", "--workers", "0", "--shots", "2", "--seeds", "1", "--quiet")


@dataclass
class Reply:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Client:
    """Who asks a server at a port."""

    port: int
    headers: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Reply:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body or None, {**self.headers, **(headers or {})})
            answer = connection.getresponse()
            return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def send(self, *images: Path | tuple[str, bytes], **fields: object) -> Reply:
        """Images in a form, with fields beside."""
        named = [(image.name, image.read_bytes()) if isinstance(image, Path) else image for image in images]
        return self.ask("POST", "/predict", form_of(named, fields), {"content-type": FORM})

    def post(self, value: object) -> Reply:
        """JSON."""
        return self.ask("POST", "/predict", json.dumps(value).encode(), {"content-type": JSON})

    def raw(self, data: bytes, seconds: float = 30.0) -> bytes:
        """All that comes back for these bytes, until the server ends the connection or nothing comes for so long."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
            connection.sendall(data)
            return received(connection)


def received(connection: socket.socket) -> bytes:
    """All that comes until the other side ends, or says nothing."""
    pieces = []
    try:
        while piece := connection.recv(65536):
            pieces.append(piece)
    except (TimeoutError, ConnectionResetError):
        pass
    return b"".join(pieces)


def form_of(images: Sequence[tuple[str, bytes]], fields: Mapping[str, object] | None = None) -> bytes:
    """A multipart form."""
    parts = [f'name="image"; filename="{name}"\r\nContent-Type: image/png\r\n\r\n'.encode() + data for name, data in images]
    parts += [f'name="{name}"\r\n\r\n{value}'.encode() for name, value in (fields or {}).items()]
    return b"".join(f"--{BOUNDARY}\r\nContent-Disposition: form-data; ".encode() + part + b"\r\n" for part in parts) + (
        f"--{BOUNDARY}--\r\n".encode()
    )


def in_base64(path: Path) -> dict[str, str]:
    """An image as JSON has it."""
    return {"name": path.name, "base64": b64encode(path.read_bytes()).decode()}


def require_refused(status: int, body: bytes, *kinds: str) -> None:
    """It is refused in the one form, for one of these."""
    told = json.loads(body)
    assert set(told) == {"kind", "message"}
    assert told["kind"] in kinds
    assert status == KINDS[told["kind"]][0]
    assert told["message"].endswith(".")
    assert len(told["message"]) < 1000


def require_refused_raw(answer: bytes, *kinds: str) -> None:
    """The first of what was answered."""
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    assert length, head
    require_refused(int(head.split()[1]), body[: int(length[1])], *kinds)


@dataclass
class Running:
    """A server at work in a thread of this process."""

    serving: Serving
    client: Client
    said: list[str]


@contextmanager
def serving(store: Path, limits: Limits | None = None, allow: Sequence[str] = (), name: str = "") -> Iterator[Running]:
    """A server of the newest adapter in a store, or of the one called `name`, until the block ends."""
    said: list[str] = []

    def load(before: LoadedAdapter | None) -> LoadedAdapter:
        chosen = load_chosen(Store(store), name)
        return load_served(chosen, {}, "cpu", chosen.rules(max_pixels=(limits or Limits()).pixels), before)

    listener = bound("127.0.0.1", 0, b"")
    setup = Setup(limits or Limits(), Wanted(top=5), Allowed(allow), say=said.append, warn=said.append)
    made = Serving(listener, setup, load, lambda: said.append("listening"))
    thread = Thread(target=made.run)
    thread.start()
    try:
        wait_until(lambda: "listening" in said)
        yield Running(made, Client(listener.socket.getsockname()[1]), said)
    finally:
        made.stop()
        thread.join(30)
    assert said[-1] == "stopped"


def wait_until(condition: Any, seconds: float = 30.0) -> None:
    """Wait until something holds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it does not come about"
        time.sleep(0.01)
