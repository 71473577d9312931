"""The process that listens. Only this module and `connections` import uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType

import uvicorn

from xmap.pipeline.serve.app import make_app
from xmap.pipeline.serve.connections import Connections, protocol_of
from xmap.pipeline.serve.service import Load, Service, Setup
from xmap.store.errors import InputError

LONGEST_HEAD = 16 << 10
BACKLOG = 2048
# Files that a process has open beside its connections.
SPARE_FILES = 128


@dataclass(frozen=True)
class Listener:
    """A socket that is bound, and does not listen yet."""

    socket: socket.socket

    @property
    def address(self) -> str:
        """Where it will be reached."""
        host, port = self.socket.getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def bound(host: str, port: int, token: bytes) -> Listener:
    """A socket bound to an address. Raises `InputError` where it cannot be, and where others reach it while anybody may ask."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as error:
        raise InputError(f"--host {host} is no address of this machine ({error}); give 127.0.0.1 or another.") from error
    if not token and not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback:
        raise InputError(
            f"--host {host} is reached from other machines; give a token with --token-file FILE or in XMAP_TOKEN, or stay with 127.0.0.1."
        )
    found = socket.socket(family, kind, protocol)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
    except (OSError, OverflowError) as error:
        found.close()
        raise InputError(f"{host} port {port} cannot be taken ({error}); give another --port, or 0 for any that is free.") from error
    return Listener(found)


def require_files(connections: int) -> None:
    """Let the process open a file for each connection. Raises `InputError` where it may not."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + SPARE_FILES
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise InputError(f"--connections {connections} takes {needed} open files, {hard} are allowed; give fewer, or raise `ulimit -n`.")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


class _Server(uvicorn.Server):
    """A server that ends well at the first SIGTERM or SIGINT, and at once at the second; SIGHUP asks for a new adapter."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[], None], reload: Callable[[], None]) -> None:
        super().__init__(config)
        self._listening, self._reload = listening, reload

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listening()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        # Beside the loop: requests are answered while the new one is loaded.
        loop.add_signal_handler(signal.SIGHUP, lambda: loop.run_in_executor(None, self._reload))
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True


class Serving:
    """A server with its adapter loaded, which answers while `run` does, and calls `listening` when it begins. Raises what loading does."""

    def __init__(self, listener: Listener, setup: Setup, load: Load, listening: Callable[[], None]) -> None:
        self.service, self._listener = Service(setup, load), listener
        self._connections = Connections(setup.limits.connections)
        self.service.metrics.watch(lambda: self.service.batcher.waiting, lambda: len(self._connections))
        config = uvicorn.Config(
            make_app(self.service),
            http=protocol_of(self._connections),
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=BACKLOG,
            # `Connections` ends those that wait.
            timeout_keep_alive=3600,
            # Half for what still comes in, half for its answers.
            timeout_graceful_shutdown=int(2 * setup.limits.seconds) + 1,
            h11_max_incomplete_event_size=LONGEST_HEAD,
        )
        self._server = _Server(config, listening, self.service.reload)

    def run(self) -> None:
        """Listen and answer until a signal or `stop` ends it; what is in hand then is finished."""
        asyncio.run(self._run())
        self.service.setup.say("stopped")

    def stop(self) -> None:
        """Take no more requests, finish those in hand, and end `run`."""
        self._server.should_exit = True

    async def _run(self) -> None:
        sweeping = asyncio.create_task(self._connections.sweep())
        await self._server.serve([self._listener.socket])
        sweeping.cancel()
