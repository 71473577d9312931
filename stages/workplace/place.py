"""Where and with what a stage works. What it makes is another matter: a spec, in the stage's `identity.py`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from xmap.stages.workplace.engine import LOCAL, Engine
from xmap.stages.workplace.progress import Progress, Silent
from xmap.store.artifacts.artifact import Artifact, Draft, Store
from xmap.store.artifacts.identity import Identity


@dataclass(frozen=True)
class Workplace:
    """The store that artifacts are left in, who hears of the work, and the machines that do it: nothing of it is in a fingerprint.

    `device` is auto, cpu or cuda, `workers` the threads that decode images (None: as many as the encoder can use); `engine` runs what
    divides into items.
    """

    store: Store
    progress: Progress = field(default_factory=Silent)
    device: str = "auto"
    workers: int | None = None
    engine: Engine = LOCAL

    def build(self, identity: Identity) -> AbstractContextManager[Draft | Artifact]:
        """A draft of the artifact to fill, or the artifact where another process has just finished it (`Store.build`)."""
        return self.store.build(identity, on_wait=self.progress.say)
