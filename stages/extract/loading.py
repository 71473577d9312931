"""Loading images in worker processes while the encoder works. Order and pixels are the same for any number of workers."""

from __future__ import annotations

import platform
import signal
import sys
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from queue import Queue
from threading import Event, Thread
from types import TracebackType
from typing import Any

import numpy as np
import torch
from blake3 import blake3
from torch.utils.data import DataLoader, Dataset

from xmap.stages.datasets.dataset import Sample
from xmap.stages.datasets.places.remote import UNREACHABLE
from xmap.stages.images.decode import BadImage
from xmap.stages.images.in_time import TIMEOUT_SECONDS
from xmap.stages.images.read import read_place
from xmap.stages.images.views import Deep, Pixels, ViewMaker
from xmap.store.errors import XmapError

# What a thread that receives images gets to end in.
PATIENCE = 2.0
# Bad images whose bytes were never read, or not kept, although the file could be hashed.
UNHASHED = ("too-large", "unsupported")
AGAIN = "run the same command again, finished shards are kept"
DEATHS = ("exited unexpectedly", "is killed by signal", "timed out")


@dataclass(frozen=True)
class Request:
    """An image to load: its sample, the blake3 its file had when the work was planned (None: unreadable), and its views."""

    sample: Sample
    content: str | None
    views: int


@dataclass(frozen=True)
class Changed:
    """The file is not the one that was planned with, or cannot be had any more."""

    sample_id: str
    why: str = "changed while features were extracted"


Loaded = Pixels | Deep | BadImage | Changed


class ViewDataset(Dataset[Loaded]):
    """Requests by number, each answered with its views (1 + V, H, W, 3) uint8, or with why not."""

    def __init__(self, requests: Sequence[Request], maker: ViewMaker) -> None:
        self._requests, self._maker = requests, maker

    def __len__(self) -> int:
        return len(self._requests)

    def __getitem__(self, number: int) -> Loaded:
        request = self._requests[number]
        data = read_planned(request)
        return self._maker.loaded(data, request.sample.sample_id, request.views) if isinstance(data, bytes) else data


def read_planned(request: Request) -> bytes | BadImage | Changed:
    """The bytes of a request's file, if they are those that were hashed when the work was planned."""
    data = read_place(request.sample.place)
    if isinstance(data, bytes):
        return data if blake3(data).hexdigest() == request.content else Changed(request.sample.sample_id)
    if data.kind == "missing" and request.content is not None:
        return Changed(request.sample.sample_id, f"was there when the work was planned and is not, as machine {platform.node()} sees it")
    if data.kind == UNREACHABLE:
        return Changed(request.sample.sample_id, f"cannot be reached any more ({data.message})")
    planned_bad = request.content is None or data.kind in UNHASHED or (data.kind == "empty" and request.content == blake3().hexdigest())
    return data if planned_bad else Changed(request.sample.sample_id)


def load_ahead(requests: Sequence[Request], maker: ViewMaker, ahead: int, workers: int) -> Generator[Loaded]:
    """The answers to all requests, in order, from `workers` threads (at least one) that keep `ahead` of them ready."""
    images = ViewDataset(requests, maker)
    waiting: deque[Future[Loaded]] = deque()
    pool = ThreadPoolExecutor(max(1, workers))
    try:
        for number in range(len(requests)):
            waiting.append(pool.submit(images.__getitem__, number))
            if len(waiting) > ahead:
                yield waiting.popleft().result(TIMEOUT_SECONDS)
        while waiting:
            yield waiting.popleft().result(TIMEOUT_SECONDS)
    except TimeoutError as error:
        raise XmapError(f"an image took more than {TIMEOUT_SECONDS} s to load: a disk, mount or server hangs; {AGAIN}.") from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def load_views(requests: Sequence[Request], maker: ViewMaker, ahead: int, workers: int) -> Generator[Loaded]:
    """The answers to all requests, in order; `workers` processes (0: none) keep about `ahead` of them ready.

    Close it (`contextlib.closing`) where an error may leave it unfinished.
    """
    if not requests:
        return
    count = min(workers, len(requests))
    loader = DataLoader(
        ViewDataset(requests, maker),
        batch_size=None,
        num_workers=count,
        collate_fn=_as_it_is,
        worker_init_fn=_begin,
        timeout=TIMEOUT_SECONDS if count else 0,
        prefetch_factor=max(2, -(-ahead // count)) if count else None,
    )
    with _unsignalled():
        answers = iter(loader)
    try:
        yield from _received(answers, ahead) if count else answers
    finally:
        if count:
            # torch ends its workers when the iterator is collected, which an error that is being told holds off; and a main
            # process that exits waits for workers that its SIGTERM cannot reach.
            answers._shutdown_workers()  # type: ignore[attr-defined]


def _received(answers: Iterator[Loaded], ahead: int) -> Generator[Loaded]:
    """The answers of processes, which a thread receives while the encoder works: unpacking them costs a millisecond each."""
    ready: Queue[Loaded | BaseException | None] = Queue(ahead)
    stopped = Event()

    def receive() -> None:
        last: BaseException | None = None
        try:
            for answer in answers:
                ready.put(answer)
                if stopped.is_set():
                    return
        except BaseException as error:
            last = error
        ready.put(last)

    thread = Thread(target=receive, daemon=True)
    thread.start()
    try:
        while isinstance(answer := ready.get(), np.ndarray | Deep | BadImage | Changed):
            yield answer
        if answer is not None:
            raise answer
    finally:
        stopped.set()
        # Room for the one answer that it may be handing over; then it sees that it is stopped.
        while not ready.empty():
            ready.get()
        # A hung process would be waited for in vain; it is ended next.
        thread.join(PATIENCE)


@contextmanager
def _unsignalled() -> Iterator[None]:
    """Hold back Ctrl-C and its like; processes started meanwhile never get them.

    They reach the whole group: the main process alone answers, and ends its workers. It gets them when the block ends.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def worker_failures() -> Iterator[None]:
    """Turn the death or silence of a worker process, which torch reports wherever the main process is just then, into a sentence."""
    try:
        yield
    except RuntimeError as error:
        if not any(sign in str(error) for sign in DEATHS):
            raise
        raise XmapError(
            f"a process that loads images died or hung ({str(error).splitlines()[0]}); it may have run out of memory or of /dev/shm: "
            "run the same command again with --workers 0 (finished shards are kept)."
        ) from error


def _as_it_is(item: Any) -> Any:
    return item


def _begin(worker: int) -> None:
    # Many workers with many threads each only take turns; and equal thread counts everywhere keep sums equal.
    torch.set_num_threads(1)
    sys.excepthook = _but_for_hung_up


def _but_for_hung_up(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print an error of a worker's thread, unless the main process hung up while it was handed an image: it says itself why it ended."""
    if not isinstance(error, EOFError | ConnectionError | AuthenticationError):
        sys.__excepthook__(kind, error, trace)
