"""The Ray engine: the only module that imports ray. Items go to Ray Data actors, one worker an actor; lost ones are done again.

A worker on CPUs has a machine to itself, with as many threads as the local engine would have: the thread count may decide the
last bits of a matrix product. Ray moves what it is handed between its own processes; nothing of it is read from a file.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from types import FrameType
from typing import Any, TypeVar

from xmap.stages.workplace.engine import Advance, Answer, Worker
from xmap.store.errors import InputError, XmapError
from xmap.store.formats.tables import first_line

Given = TypeVar("Given")
Result = TypeVar("Result", bound=Answer)
Value = TypeVar("Value")

LOCALLY = "local"
# Ray Data hands out blocks; beyond so many its own books cost more than they are worth.
MOST_BLOCKS = 10_000
# A worker that dies so often is killed by what it works on, not by its machine.
RESTARTS = 20
# Seconds to wait for an address to answer: Ray itself tries for minutes.
ANSWER = 5.0


@dataclass(frozen=True)
class Refused:
    """An expected error of a worker, in words: an answer, so that Ray neither wraps it nor tries again."""

    message: str
    input: bool

    @classmethod
    def of(cls, error: XmapError) -> Refused:
        return cls(str(error), isinstance(error, InputError))


class RayEngine:
    """Works on the Ray cluster that `RAY_ADDRESS` names (`auto`: the one that was started here), else on this machine alone.

    `gpus` is the share of GPUs a worker takes; 0 means a worker of CPUs, None one GPU where the cluster has any. `cpus` are for
    loading images where it has a GPU.
    """

    away = True

    def __init__(self, gpus: float | None, cpus: int) -> None:
        self._asked, self._cpus = gpus, max(1, cpus)

    def call(self, function: Callable[..., Value], *arguments: object) -> Value:
        """`function(*arguments)` on one machine of the cluster."""
        remote = self._ray.remote(**self._resources)(_quiet)
        with _deaths(self._ray):
            # `ray.get` waits in C++, which swallows what a signal handler raises.
            answer: Value | Refused = remote.remote(self._threads, function, arguments).future().result()
        return _value(answer)

    def spread(self, make: Callable[[], Worker[Given, Result]], items: Sequence[Given], advance: Advance) -> Generator[Result]:
        """The answers to all items, as they come, from as many workers as the cluster has room for.

        Raises `InputError` where it has room for none, and what a worker raises.
        """
        data = self._ray.data
        size = min(self._room, len(items))
        rows = data.from_items([{"item": item} for item in items], override_num_blocks=min(len(items), MOST_BLOCKS))
        with warnings.catch_warnings():
            # Ray means to drop `ray_remote_args_fn` in 2.64; until then nothing else bounds the restarts.
            warnings.simplefilter("ignore", DeprecationWarning)
            made = rows.map(
                _Actor,
                fn_constructor_args=(make, self._threads),
                compute=data.ActorPoolStrategy(size=size),
                ray_remote_args_fn=lambda: {"max_restarts": RESTARTS},
                **self._resources,
            )
        return self._answers(made, advance)

    def _answers(self, made: Any, advance: Advance) -> Generator[Any]:
        with _deaths(self._ray), _signals() as raise_unheard:
            for row in made.iter_rows():
                raise_unheard()
                answer = _value(row["answer"])
                advance(answer.units)
                yield answer

    @cached_property
    def _ray(self) -> Any:
        """Ray, connected. Raises `InputError` where it is not installed."""
        # Nothing about a run is sent anywhere, and stderr is for our own progress.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        # Else a thread of Ray Data that outlives the connection begins another one.
        os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
        try:
            import ray
            import ray.data
        except ImportError as error:
            raise InputError("--engine ray needs Ray; run `pip install 'xmap[ray]'`.") from error
        if not ray.is_initialized():
            _connect(ray, os.environ.get("RAY_ADDRESS", LOCALLY))
        # Ray tells on stdout, where results go, that a machine died; what comes of it, the answers tell.
        ray._private.worker.print_to_stdstream = _unsaid
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        return ray

    @cached_property
    def _nodes(self) -> list[dict[str, float]]:
        """The resources of each living machine."""
        return [dict(node["Resources"]) for node in self._ray.nodes() if node["Alive"]]

    @cached_property
    def _gpus(self) -> float:
        if self._asked is not None:
            return self._asked
        return 1.0 if any(node.get("GPU") for node in self._nodes) else 0.0

    @cached_property
    def _resources(self) -> dict[str, float]:
        """What a worker reserves."""
        if self._gpus:
            return {"num_gpus": self._gpus, "num_cpus": self._cpus}
        return {"num_cpus": min((node["CPU"] for node in self._nodes if node.get("CPU")), default=1)}

    @cached_property
    def _room(self) -> int:
        """How many workers the cluster has room for."""
        need = {"GPU": self._gpus, "CPU": self._resources["num_cpus"]}
        room = sum(min(int(node.get(kind, 0) / count) for kind, count in need.items() if count) for node in self._nodes)
        if not room:
            gpus = sum(node.get("GPU", 0) for node in self._nodes)
            raise InputError(
                f"no machine of the Ray cluster has {self._gpus:g} GPUs and {self._resources['num_cpus']:g} CPUs for a worker "
                f"({len(self._nodes)} machines, {gpus:g} GPUs in all); change --gpus-per-worker or --workers."
            )
        return room

    @cached_property
    def _threads(self) -> int:
        import torch

        return torch.get_num_threads()


def _connect(ray: Any, address: str) -> None:
    """Join the cluster at `address`, or start one here. Raises `InputError` where nothing answers."""
    host, _, port = address.rpartition(":")
    try:
        if port.isdigit() and "//" not in host:
            socket.create_connection((host, int(port)), ANSWER).close()
        start = {"include_dashboard": False} if address == LOCALLY else {}
        with _signals():
            ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **start)
    except SystemExit as error:
        # Its own handler's answer to SIGTERM.
        raise KeyboardInterrupt from error
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(
            f"no Ray cluster can be had at {address!r} ({first_line(error)}); check RAY_ADDRESS, or use --engine local."
        ) from error


@contextmanager
def _signals() -> Iterator[Callable[[], None]]:
    """Keep the handlers of SIGINT and SIGTERM, which Ray replaces when it connects. What they raised in a call of Ray that swallowed
    it is raised again at the end, and by what is handed over."""
    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {int(number): handler for number in numbers if callable(handler := signal.getsignal(number))}
    unheard: list[int] = []

    def hear(number: int, frame: FrameType | None) -> None:
        unheard.append(number)
        before[number](number, frame)

    def raise_unheard() -> None:
        while unheard:
            number = unheard.pop()
            before[number](number, None)

    for number in before:
        signal.signal(number, hear)
    try:
        yield raise_unheard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    raise_unheard()


@contextmanager
def _deaths(ray: Any) -> Iterator[None]:
    """Turn the end of a worker that died again and again, or of the cluster, into a sentence. Defects keep their traceback."""
    try:
        yield
    except ray.exceptions.RayTaskError:
        raise
    except ray.exceptions.RayError as error:
        raise XmapError(
            f"a Ray worker died, {RESTARTS} times over where it could begin again ({first_line(error)}); it may have run out of memory: "
            "give workers more, or change --batch-size, and run the same command again, finished parts are kept."
        ) from error


class _Actor:
    """A worker inside a Ray actor, handed one row at a time."""

    def __init__(self, make: Callable[[], Worker[Any, Any]], threads: int) -> None:
        self._made = _quiet(threads, make, ())

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        if isinstance(self._made, Refused):
            return {"answer": self._made}
        try:
            (answer,) = self._made.work([row["item"]], _unheard)
        except XmapError as error:
            return {"answer": Refused.of(error)}
        return {"answer": answer}


def _quiet(threads: int, function: Callable[..., Value], arguments: Sequence[object]) -> Value | Refused:
    """`function(*arguments)` with `threads` of torch; an expected error is an answer."""
    import torch

    torch.set_num_threads(threads)
    try:
        return function(*arguments)
    except XmapError as error:
        return Refused.of(error)


def _value(answer: Value | Refused) -> Value:
    if isinstance(answer, Refused):
        raise InputError(answer.message) if answer.input else XmapError(answer.message)
    return answer


def _unsaid(data: object, ignore_prefix: bool) -> None:
    """What Ray would print."""


def _unheard(units: int) -> None:
    """The main process counts an item when its answer comes."""
