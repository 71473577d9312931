"""From images of many requests to batches, and back: decoding in threads, the encoder in one, answers to who waits for them.

A batch is what waits when the encoder is free. It is held back, by no more than `PATIENCE`, only while images are just being decoded.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Condition, Lock, Thread
from typing import TYPE_CHECKING, Any

from xmap.pipeline.serve.allowed import fetched
from xmap.pipeline.serve.limits import Limits
from xmap.pipeline.serve.loaded import ORDINARY, LoadedAdapter, Ready
from xmap.pipeline.serve.metrics import Metrics
from xmap.pipeline.serve.questions import Question, Source
from xmap.pipeline.serve.refusals import Refused
from xmap.pipeline.serve.work import Lane
from xmap.stages.datasets.places.place import Remote
from xmap.stages.images.decode import BadImage
from xmap.stages.images.read import Held

if TYPE_CHECKING:
    from xmap.stages.images.views import Pixels

PATIENCE = 0.002
# Threads that read S3 paths: they wait more than they work.
READERS = 4
# Large images that may wait for their turn.
LARGE = 8


@dataclass(eq=False)
class Ticket:
    """A request in work: its answers as they come, and who waits for all of them."""

    question: Question
    loaded: LoadedAdapter
    done: Callable[[], None]
    answers: list[dict[str, Any] | BadImage | None] = field(default_factory=list)
    left: int = 0
    forward: float = 0.0
    # Nobody waits any more, or why there are no answers.
    over: bool = False
    error: BaseException | None = None
    lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self.left = len(self.question.images)
        self.answers = [None] * self.left

    def put(self, place: int, answer: dict[str, Any] | BadImage) -> None:
        """The answer of one image."""
        with self.lock:
            self.answers[place] = answer
            self.left -= 1
            last = self.left == 0 and not self.over
        if last:
            self.done()

    def fail(self, error: BaseException) -> None:
        """There will be no answers."""
        with self.lock:
            first, self.over, self.error = not self.over, True, self.error or error
        if first:
            self.done()


@dataclass(frozen=True)
class ImageJob:
    """One image of a request."""

    ticket: Ticket
    place: int

    @property
    def name(self) -> str:
        return self.ticket.question.names[self.place]

    @property
    def image(self) -> Source:
        return self.ticket.question.images[self.place]


class Batcher:
    """Answers requests. `ask` may be called by one event loop; all else is in threads."""

    def __init__(self, limits: Limits, metrics: Metrics, batch_size: int, workers: int) -> None:
        self._limits, self._metrics, self._size = limits, metrics, batch_size
        self._ordinary = Lane(_guarded(self._decode), workers, limits.queue, limits.seconds)
        self._large = Lane(_guarded(self._decode_large), 1, LARGE, limits.seconds)
        self._remote = Lane(_guarded(self._decode_large), READERS, limits.queue, limits.seconds)
        self._turn, self._ready, self._waiting = Condition(), deque[tuple[ImageJob, Ready]](), 0
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Images that are taken and not answered."""
        return self._waiting

    def is_alive(self) -> bool:
        """Whether there is who answers."""
        return self._thread.is_alive()

    async def ask(self, question: Question, loaded: LoadedAdapter) -> Ticket:
        """The finished ticket of a question that `loaded` answers. Raises `Refused`, and what that raises."""
        count, loop = len(question.images), asyncio.get_running_loop()
        if self._waiting + count > self._limits.queue:
            raise Refused("busy", f"{self._waiting:,} images wait already; send this request again in a moment.")
        finished = loop.create_future()
        ticket = Ticket(question, loaded, lambda: _finish(loop, finished))
        self._waiting += count
        try:
            for place, image in enumerate(question.images):
                lane = self._remote if isinstance(image, Remote) else self._ordinary
                if not lane.put(ImageJob(ticket, place)):
                    raise Refused("busy", "too many images wait already; send this request again in a moment.")
            async with asyncio.timeout(self._limits.seconds):
                await finished
        except TimeoutError as error:
            raise Refused("late", f"no answer within {self._limits.seconds:g} s; send fewer images, or this request again.") from error
        finally:
            ticket.over = True
            self._waiting -= count
        if ticket.error is not None:
            raise ticket.error
        return ticket

    def _decode(self, job: ImageJob) -> None:
        """Make pixels of an image; a large one is handed on."""
        made = self._pixels(job, large=False)
        if isinstance(made, BadImage) and made.kind == "too-large" and self._limits.pixels > ORDINARY:
            if not self._large.put(job):
                raise Refused("busy", "several very large images wait already; send smaller ones, or this request again in a moment.")
        else:
            self._made(job, made)

    def _decode_large(self, job: ImageJob) -> None:
        self._made(job, self._pixels(job, large=True))

    def _pixels(self, job: ImageJob, large: bool) -> Pixels | BadImage:
        image = job.image
        data = fetched(image, self._limits.bytes) if isinstance(image, Remote) else image.data
        return data if isinstance(data, BadImage) else job.ticket.loaded.pixels(Held(job.name, data), large)

    def _made(self, job: ImageJob, made: Pixels | BadImage) -> None:
        if isinstance(made, BadImage):
            self._metrics.image(made.kind)
            job.ticket.put(job.place, made)
            return
        with self._turn:
            self._ready.append((job, Ready(job.name, made, job.ticket.question.wanted)))
            self._turn.notify()

    def _run(self) -> None:
        while True:
            batch = self._take()
            if batch:
                self._answer(batch)

    def _take(self) -> list[tuple[ImageJob, Ready]]:
        """What waits for the adapter of whoever is first, a batch at most."""
        with self._turn:
            self._turn.wait_for(lambda: bool(self._ready))
            until = time.monotonic() + PATIENCE
            while len(self._ready) < self._size and len(self._ordinary) and (left := until - time.monotonic()) > 0:
                self._turn.wait(left)
            wanted = [entry for entry in self._ready if not entry[0].ticket.over]
            batch = [entry for entry in wanted if entry[0].ticket.loaded is wanted[0][0].ticket.loaded][: self._size]
            taken = set(map(id, batch))
            self._ready = deque(entry for entry in wanted if id(entry) not in taken)
        return batch

    def _answer(self, batch: list[tuple[ImageJob, Ready]]) -> None:
        try:
            answers, seconds = batch[0][0].ticket.loaded.answers([ready for _, ready in batch])
        # Whatever an adapter raises is the end of these requests, and of no others.
        except Exception as error:
            for job, _ in batch:
                job.ticket.fail(error)
            return
        self._metrics.batch(len(batch), seconds)
        for ticket in {job.ticket for job, _ in batch}:
            ticket.forward += seconds
        for (job, _), answer in zip(batch, answers, strict=True):
            job.ticket.put(job.place, answer)


def _guarded(work: Callable[[ImageJob], None]) -> Callable[[ImageJob], None]:
    """`work`, whose errors end the request they belong to, and that leaves out what nobody waits for."""

    def guarded(job: ImageJob) -> None:
        if job.ticket.over:
            return
        try:
            work(job)
        # A thread that ended by an error would leave all later requests without an answer.
        except Exception as error:
            job.ticket.fail(error)

    return guarded


def _finish(loop: asyncio.AbstractEventLoop, finished: asyncio.Future[None]) -> None:
    loop.call_soon_threadsafe(lambda: None if finished.done() else finished.set_result(None))
