"""`xmap serve` as a process: what it takes, what it refuses to begin with, and how signals end and renew it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.worlds.commands import call
from tests.worlds.inputs import write_photos
from tests.worlds.serving import RUN, Client

TOKEN = "a-token-of-the-tests"  # noqa: S105
SILENT = 1000


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--host", "0.0.0.0"), "--host 0.0.0.0 is reached from other machines; give a token with --token-file FILE or in XMAP_TOKEN"),  # noqa: S104
        (("--host", "no such host"), "--host no such host is no address of this machine"),
        (("--sets", "90"), "--sets: Input should be less than 1"),
        (("--sets-by", "colour"), "--sets-by: Input should be 'all' or 'class'"),
        (("--allow", "s3://bucket/photos"), "give a bucket and a prefix that ends with a slash"),
        (("--allow", "s3://key:secret@bucket/a/"), "--allow s3://bucket/a/: give a bucket"),
        (("--allow", "/photos/"), "as s3://bucket/photos/"),
        (("--queue", "3"), "--queue 3 takes no request of 64 images"),
        (("--token-file", "nowhere"), "--token-file nowhere cannot be read"),
        (("--connections", "100000000"), "open files"),
    ],
)
def test_what_cannot_be_served_is_said_before_anything_is_loaded(flags: tuple[str, ...], said: str) -> None:
    result = call("serve", "--port", "0", *flags)
    assert result.exit_code == 2
    assert said in result.output
    assert "secret" not in result.output


@pytest.mark.parametrize("token", ["short", "with blanks in it, which headers part", "münchen-münchen-münchen"])
def test_a_token_that_is_soon_guessed_or_cannot_be_sent_is_refused(token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text(token)
    from_file = call("serve", "--port", "0", "--token-file", tmp_path / "token")
    monkeypatch.setenv("XMAP_TOKEN", token)
    for result in (from_file, call("serve", "--port", "0")):
        assert result.exit_code == 2
        assert "is no 16 signs" in result.output
        assert token not in result.output


def test_a_port_that_is_taken_is_said() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = call("serve", "--port", port)
    assert result.exit_code == 2
    assert f"port {port} cannot be taken" in result.output


@contextmanager
def started(store: Path, token: str = "") -> Iterator[tuple[subprocess.Popen[str], Client]]:
    """The command as a process of its own, once it listens."""
    words = [sys.executable, "-m", "xmap", "serve", "--store", str(store), "--port", "0", "--json"]
    environment = {**os.environ, **({"XMAP_TOKEN": token} if token else {})}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout
            told = json.loads(process.stdout.readline())
            assert told["process"] == process.pid
            yield process, Client(int(told["address"].rpartition(":")[2]), {"authorization": f"Bearer {token}"} if token else {})
        finally:
            process.kill()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    photos = write_photos(folder / "photos", test=4)
    done = call(*RUN, "--data", photos, "--methods", "tip-adapter", "--store", folder / "store")
    assert done.exit_code == 0, done.output
    return folder


@pytest.mark.thorough
def test_signals_renew_and_end_it_and_no_request_is_lost(world: Path) -> None:
    photos = sorted((world / "photos/test").rglob("*.png"))
    with started(world / "store") as (process, client), ThreadPoolExecutor(4) as pool:
        assert process.stderr
        asked = [pool.submit(client.send, path) for path in photos * 10]
        for _ in range(3):
            process.send_signal(signal.SIGHUP)
            asked += [pool.submit(client.send, path) for path in photos * 10]
            assert any("as before" in line for line in process.stderr)
        assert {reply.result().status for reply in asked} == {200}
        asked = [pool.submit(client.send, path) for path in photos[:4]]
        assert asked[0].result().status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        said = process.stderr.read()
    assert said.splitlines()[-1] == "stopped"
    assert "Traceback" not in said


@pytest.mark.thorough
@pytest.mark.failure("hostile requests")
def test_a_thousand_silent_connections_keep_nobody_out(world: Path) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2 * SILENT)), hard))
    photo = next((world / "photos/test").rglob("*.png"))
    with started(world / "store") as (_, client), ExitStack() as stack:
        for _ in range(SILENT):
            stack.enter_context(socket.create_connection(("127.0.0.1", client.port), timeout=20))
        assert client.send(photo).status == 200
        assert b"xmap_connections 512.0" in client.ask("GET", "/metrics").body


@pytest.mark.thorough
def test_without_its_token_nothing_is_said_and_it_is_in_no_list_of_processes(world: Path) -> None:
    with started(world / "store", TOKEN) as (process, client):
        photo = next((world / "photos/test").rglob("*.png"))
        assert client.send(photo).status == 200
        assert TOKEN not in Path(f"/proc/{process.pid}/cmdline").read_text()
        stranger = Client(client.port)
        assert stranger.ask("GET", "/health").status == 200
        for headers in ({}, {"authorization": f"Bearer {TOKEN}x"}, {"authorization": TOKEN}, {"authorization": f"Basic {TOKEN}"}):
            for method, path in (("POST", "/predict"), ("GET", "/adapter"), ("GET", "/metrics"), ("GET", "/openapi.json"), ("GET", "/x")):
                reply = stranger.ask(method, path, b"", headers)
                assert reply.status == 401
                assert json.loads(reply.body)["kind"] == "unauthorized"
                assert reply.headers["www-authenticate"] == "Bearer"
