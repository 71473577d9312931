"""What answers requests, without HTTP: the adapter of the moment, the batcher, and what is said where nothing is answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from xmap.pipeline.serve.allowed import Allowed
from xmap.pipeline.serve.batcher import Batcher, Ticket
from xmap.pipeline.serve.limits import Intake, Limits
from xmap.pipeline.serve.loaded import LoadedAdapter
from xmap.pipeline.serve.metrics import Metrics
from xmap.pipeline.serve.questions import Question, Wanted
from xmap.pipeline.serve.refusals import Refused
from xmap.stages.datasets.places.remote import UNREACHABLE
from xmap.stages.images.decode import BadImage
from xmap.store.artifacts.fingerprint import SHORT
from xmap.store.errors import XmapError

# Bad images that a sentence names.
NAMED = 3

Say = Callable[[str], None]
Load = Callable[[LoadedAdapter | None], LoadedAdapter]


@dataclass(frozen=True)
class Setup:
    """How a server works: limits, what answers say where a request says nothing, allowed S3 paths, who may ask, and who hears of it."""

    limits: Limits
    usual: Wanted
    allowed: Allowed
    token: bytes = b""
    batch_size: int = 64
    workers: int = 2
    say: Say = print
    warn: Say = print


class Service:
    """Answers questions by the adapter of the moment. `load` loads it, and again when another is to be taken."""

    def __init__(self, setup: Setup, load: Load) -> None:
        self.setup, self.metrics, self.intake = setup, Metrics(), Intake(setup.limits)
        self._load, self._loading = load, Lock()
        self.loaded = load(None)
        self.loaded.require(setup.usual)
        self.metrics.adapter(self.loaded.fingerprint, self.loaded.adapter.artifact.name)
        self.batcher = Batcher(setup.limits, self.metrics, setup.batch_size, setup.workers)

    async def answer(self, question: Question) -> tuple[dict[str, Any], float]:
        """What is said to a question, by one adapter from its first image to its last, and the seconds of the forward passes it was in.

        Raises `Refused`.
        """
        loaded = self.loaded
        asked = Question(question.names, question.images, question.wanted.over(self.setup.usual))
        loaded.require(asked.wanted)
        try:
            ticket = await self.batcher.ask(asked, loaded)
        except Refused:
            raise
        except XmapError as error:
            # Its sentence may name places of this machine.
            self.setup.warn(f"a request failed: {error}")
            raise Refused("failed", "the adapter cannot answer; the server's log says why.") from error
        return {"adapter": loaded.fingerprint, "answers": _facts(ticket)}, ticket.forward

    def reload(self) -> None:
        """Load what the server was told to serve once more, and answer by it from then on; what cannot be loaded changes nothing."""
        with self._loading:
            try:
                loaded = self._load(self.loaded)
                loaded.require(self.setup.usual)
            # Whatever is wrong with the new one, the old one goes on.
            except Exception as error:
                self.metrics.load("failed")
                self.setup.warn(f"no other adapter was taken: {error or type(error).__name__}")
                return
            same = loaded.fingerprint == self.loaded.fingerprint
            self.loaded = loaded
            self.metrics.load("same" if same else "taken")
            self.metrics.adapter(loaded.fingerprint, loaded.adapter.artifact.name)
            self.setup.say(f"answers come from {loaded.adapter.artifact.name} {loaded.fingerprint[:SHORT]}{', as before' if same else ''}")


def _facts(ticket: Ticket) -> list[dict[str, Any]]:
    """An entry an image, of a bad one why. Raises `Refused` where all are bad."""
    names, found = ticket.question.names, ticket.answers
    bad = [(name, answer) for name, answer in zip(names, found, strict=True) if isinstance(answer, BadImage)]
    if len(bad) == len(found):
        _refuse(bad)
    return [
        {"path": name, "error": answer.kind, "message": answer.message} if isinstance(answer, BadImage) else answer or {}
        for name, answer in zip(names, found, strict=True)
    ]


def _refuse(bad: Sequence[tuple[str, BadImage]]) -> None:
    if all(image.kind == UNREACHABLE for _, image in bad):
        raise Refused("unreachable", "the storage of these S3 paths does not answer; send this request again later.")
    said = "; ".join(f"{name}: {image.kind}, {image.message}" for name, image in bad[:NAMED])
    more = f"; and {len(bad) - NAMED:,} more" if len(bad) > NAMED else ""
    raise Refused("bad-image", f"none of the images can be read: {said}{more}.")
