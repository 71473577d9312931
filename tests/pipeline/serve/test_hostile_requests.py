"""Requests that mean harm: each is refused in time and in the one form, or its connection ends; good ones are answered meanwhile."""

from __future__ import annotations

import io
import json
import socket
import time
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path
from struct import pack

import pytest
from PIL import Image

from tests.worlds.serving import (
    BOUNDARY,
    FORM,
    JSON,
    Client,
    Running,
    form_of,
    received,
    require_refused,
    require_refused_raw,
    serving,
    wait_until,
)
from xmap.pipeline.serve import connections
from xmap.pipeline.serve.limits import Limits

LIMITS = Limits(bytes=300_000, pixels=1_000_000, images=4, queue=8, connections=24)
SHORT = replace(LIMITS, seconds=0.3)
SECONDS = 10.0
Case = Callable[[], AbstractContextManager[None]]
pytestmark = pytest.mark.failure("hostile requests")


@pytest.fixture(scope="module")
def server(world: Path) -> Iterator[Running]:
    with serving(world / "store", LIMITS, allow=["s3://open/photos/"]) as running:
        yield running


@pytest.fixture
def client(server: Running, photos: list[Path]) -> Iterator[Client]:
    yield server.client
    # Whatever was done to it, it answers.
    assert server.client.send(photos[0]).status == 200


def bomb(side: int) -> bytes:
    """A PNG of so many black pixels squared, in a thousandth of their bytes."""
    file = io.BytesIO()
    Image.new("L", (side, side)).save(file, "PNG")
    return file.getvalue()


def liar() -> bytes:
    """A PNG whose head tells of a billion pixels."""
    parts = ((b"IHDR", pack(">IIBBBBB", 2**15, 2**15, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(b"0" * 99)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        pack(">I", len(data)) + kind + data + pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


def test_pictures_that_mean_harm_are_bad_images(client: Client, case: Case) -> None:
    cut = bomb(64)
    for data in (bomb(2000), liar(), cut[: len(cut) // 2], b"", b"GIF89a", b"\xff\xd8\xff" * 999, b"<svg onload='x'/>", b"%!PS\nquit"):
        with case():
            reply = client.send(("a.png", data))
            require_refused(reply.status, reply.body, "bad-image")


JSONS = {
    "nothing": b"",
    "no JSON": b"{",
    "a number": b"1",
    "no images": b"{}",
    "none": b'{"images": []}',
    "null": b'{"images": null}',
    "text": b'{"images": "cat.jpg"}',
    "neither": b'{"images": [{}]}',
    "both": b'{"images": [{"base64": "", "s3": "s3://open/photos/a"}]}',
    "a path": b'{"images": [{"path": "/etc/passwd"}]}',
    "no base64": b'{"images": [{"base64": "*&^"}]}',
    "cut base64": b'{"images": [{"base64": "abc"}]}',
    "a number of base64": b'{"images": [{"base64": 7}]}',
    "deep": b"[" * 100_000,
    "deep and whole": b'{"images": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "deeper objects": b'{"images":' * 20_000,
    "many": b'{"images": [' + b"{}," * 50_000 + b"{}]}",
    "a huge number": b'{"images": [{"base64": ""}], "top": ' + b"9" * 100_000 + b"}",
    "a share": b'{"images": [{"base64": ""}], "sets": 1.5}',
    "no number": b'{"images": [{"base64": ""}], "sets": NaN}',
    "infinite": b'{"images": [{"base64": ""}], "reject": 1e999}',
    "a negative top": b'{"images": [{"base64": ""}], "top": -1}',
    "a true top": b'{"images": [{"base64": ""}], "top": true}',
    "another way": b'{"images": [{"base64": ""}], "sets": 0.9, "sets_by": "__class__"}',
    "sets by nothing": b'{"images": [{"base64": ""}], "sets_by": "class"}',
    "a long name": b'{"images": [{"base64": "", "name": "' + b"a" * 300 + b'"}]}',
    "an unknown field": b'{"images": [{"base64": ""}], "' + b"x" * 5000 + b'": 1}',
    "halves of signs": b'{"images": [{"base64": "", "name": "\\ud800"}]}',
    "other bytes": b"\xff\xfe\x00",
}


def test_json_that_means_harm_is_refused(client: Client, case: Case) -> None:
    for body in JSONS.values():
        with case():
            reply = client.ask("POST", "/predict", body, {"content-type": JSON})
            require_refused(reply.status, reply.body, "malformed")
    many = json.dumps({"images": [{"base64": b64encode(b"x").decode()}] * (LIMITS.images + 1)}).encode()
    reply = client.ask("POST", "/predict", many, {"content-type": JSON})
    require_refused(reply.status, reply.body, "too-large")


def test_forms_that_mean_harm_are_refused(client: Client, case: Case) -> None:
    whole, line = form_of([("a.png", b"x")]), f"--{BOUNDARY}\r\n".encode()
    named = b'Content-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    forms = {
        "cut": whole[:-10],
        "nothing": b"",
        "no parts": f"--{BOUNDARY}--\r\n".encode(),
        "many parts": (line + named + b"\r\n") * 4000,
        "boundaries": (b"\r\n" + line) * 10_000,
        "no head": line + b"x" * 200_000,
        "a head without end": line + b"A: b\r\n" * 30_000 + whole,
        "a part without a name": line + b"\r\n\r\nx\r\n" + whole,
        "a field": form_of([("a.png", b"x")], {"path": "/etc/passwd"}),
        "a top": form_of([("a.png", b"x")], {"top": "9" * 5000}),
        "fields alone": form_of([], {"top": "1"}),
        "many images": form_of([("a.png", b"x")] * (LIMITS.images + 1)),
    }
    for body in forms.values():
        with case():
            reply = client.ask("POST", "/predict", body, {"content-type": FORM})
            require_refused(reply.status, reply.body, "malformed", "too-large")
    for kind in ("multipart/form-data", f"multipart/form-data; boundary={'b' * 99}", "multipart/form-data; boundary=", f"{FORM}x"):
        with case():
            reply = client.ask("POST", "/predict", whole, {"content-type": kind})
            require_refused(reply.status, reply.body, "malformed")


def test_other_kinds_of_bodies_are_refused(client: Client, case: Case) -> None:
    for headers in ({"content-type": "text/html"}, {"content-type": ""}, {}, {"content-type": JSON, "content-encoding": "gzip"}):
        with case():
            reply = client.ask("POST", "/predict", b"{}", headers)
            require_refused(reply.status, reply.body, "unsupported")


S3 = (
    "s3://open/photo", "s3://open/photos", "s3://open/photos/", "s3://open/photos-of-others/a.jpg", "s3://open/photos/../secret/a.jpg",
    "s3://open/photos/./a", "s3://open/photos//a", "s3://open/photos/%2e%2e/secret", "s3://open/photos/..\\secret", "s3://other/photos/a",
    "S3://open/photos/a", "s3a://open/photos/a", "s3://user:pass@open/photos/a", "s3://open/photos/a?versionId=1", "s3://open/photos/*",
    "s3://open/photos/a::file:///etc/passwd", "file:///etc/passwd", "/etc/passwd", "s3://open/photos/a\n", "http://169.254.169.254/", "",
    "simplecache::s3://open/photos/a", "s3://open/photos/a/..", "s3:///photos/a",
)  # fmt: skip


def test_s3_paths_outside_of_what_is_allowed_are_refused(client: Client, case: Case) -> None:
    for url in S3:
        with case():
            reply = client.post({"images": [{"s3": url}]})
            require_refused(reply.status, reply.body, "not-allowed")
            assert b"open" not in reply.body


def test_paths_lead_nowhere(client: Client, case: Case) -> None:
    for path in ("/", "/../../etc/passwd", "//etc/passwd", "/predict/../adapter", "/static/../app.py", "/%2e%2e/%2e%2e/etc/passwd", "/docs",
                 "/predict/", "/adapter/..", "/.xmap", "/metrics/%00", "/" + "a" * 8000):  # fmt: skip
        with case():
            answer = client.raw(f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
            require_refused_raw(answer, "not-found")
    for method in ("GET", "DELETE", "PUT", "TRACE", "OPTIONS"):
        with case():
            reply = client.ask(method, "/predict")
            require_refused(reply.status, reply.body, "wrong-method")
            assert reply.headers["allow"] == "POST"


def test_what_is_no_http_is_refused(client: Client, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    # Some of it may still become a head, or a body.
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.3)
    monkeypatch.setattr(connections, "LINGER_SECONDS", 0.2)
    for data in (b"\x16\x03\x01\x02\x00\x01", b"hello\r\n\r\n", b"GET / HTTP/9.9\r\nconnection: close\r\n\r\n",
                 b"GET / HTTP/1.1\r\n\r\n", b"\0" * 100_000,
                 b"GET /health HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 100_000, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                 b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
                 b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n"):  # fmt: skip
        with case():
            answer = client.raw(data, SECONDS)
            if answer:
                require_refused_raw(answer, "malformed", "unsupported", "not-found")


def test_a_page_of_a_stranger_does_not_read_answers_by_its_own_name(client: Client, case: Case) -> None:
    for host in ("evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example:80", "8.8.8.8", "[::2]", "["):
        with case():
            answer = client.raw(f"GET /adapter HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
            require_refused_raw(answer, "wrong-host")
    for host in ("localhost", "LOCALHOST:80", "127.0.0.1:8000", "127.8.8.8", "[::1]:8000", "[::1]"):
        answer = client.raw(f"GET /adapter HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 200")


POST = f"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: {JSON}\r\n"


def endless(client: Client, head: str, piece: bytes) -> bytes:
    """What comes back while pieces are sent without end."""
    until = time.monotonic() + SECONDS
    with socket.create_connection(("127.0.0.1", client.port), timeout=SECONDS) as connection:
        connection.sendall(f"{head}\r\n".encode())
        answer = b""
        connection.settimeout(0.001)
        while time.monotonic() < until:
            try:
                connection.send(piece)
            except TimeoutError:
                pass
            except OSError:
                return answer
            try:
                answer += connection.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                return answer
    raise AssertionError("it was read for ever")


def test_bodies_without_end_are_refused_and_cut_off(client: Client, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "LINGER_SECONDS", 0.2)
    with case():
        require_refused_raw(endless(client, POST + "transfer-encoding: chunked\r\n", b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n"), "too-large")
    with case():
        require_refused_raw(endless(client, POST + f"content-length: {10**12}\r\n", b"x" * 65536), "too-large")
    with case():
        require_refused_raw(endless(client, POST + f"content-length: {'9' * 5000}\r\n", b"x" * 65536), "too-large", "malformed")


def test_who_sends_slowly_is_refused_in_time(server: Running, client: Client, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.serving.service.intake, "_limits", SHORT)
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.3)
    monkeypatch.setattr(connections, "LINGER_SECONDS", 0.2)
    with case():
        require_refused_raw(client.raw(f"{POST}content-length: 100\r\n\r\n{{".encode(), SECONDS), "slow")
    # A head that never ends, and nothing at all.
    for data in (b"GET /health HTTP/1.1\r\nhost: lo", b""):
        with case(), socket.create_connection(("127.0.0.1", client.port), timeout=SECONDS) as connection:
            connection.sendall(data)
            assert received(connection) == b""


def test_connections_that_send_nothing_keep_nobody_out(client: Client, photos: list[Path], case: Case) -> None:
    with case(), ExitStack() as stack:
        for number in range(4 * LIMITS.connections):
            silent = stack.enter_context(socket.create_connection(("127.0.0.1", client.port), timeout=SECONDS))
            if number % 2:
                silent.sendall(POST.encode())
            if number % LIMITS.connections == 0:
                assert client.send(photos[0]).status == 200
        assert client.send(photos[0]).status == 200


def test_bodies_that_are_held_back_keep_nobody_out(server: Running, client: Client, photos: list[Path], case: Case) -> None:
    """All that is received takes a bounded room, and the one that has been sending longest makes place."""
    with case(), ExitStack() as stack:
        for _ in range(LIMITS.connections - 4):
            half = stack.enter_context(socket.create_connection(("127.0.0.1", client.port), timeout=SECONDS))
            half.sendall(f"{POST}content-length: {LIMITS.bytes}\r\n\r\n".encode() + b" " * (LIMITS.bytes - 10))
        assert client.send(photos[0]).status == 200
    wait_until(lambda: server.serving.service.intake.held == 0)


def test_more_than_waits_is_told_to_come_again(
    server: Running, client: Client, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    batcher = server.serving.service.batcher
    with monkeypatch.context() as patch:
        patch.setattr(batcher, "_waiting", LIMITS.queue)
        reply = client.send(photos[0])
    require_refused(reply.status, reply.body, "busy")
    assert reply.headers["retry-after"] == "1"


def test_an_answer_that_takes_too_long_is_given_up(server: Running, client: Client, photos: list[Path], case: Case) -> None:
    loaded, batcher = server.serving.service.loaded, server.serving.service.batcher
    answers = loaded.answers
    with case(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(batcher, "_limits", SHORT)
        patch.setattr(loaded, "answers", lambda batch: (time.sleep(2 * SHORT.seconds), answers(batch))[1])
        reply = client.send(photos[0])
    require_refused(reply.status, reply.body, "late")
    wait_until(lambda: server.serving.service.batcher.waiting == 0)
