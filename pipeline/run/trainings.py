"""The adapters of a plan: trained one by one in this process, or all that are missing at once by the workers of an engine.

Workers elsewhere see no store. They are handed what training reads, as bytes and without any test features, and hand back
the finished artifact.
"""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from xmap.pipeline.run.features import Built
from xmap.stages.config import Device, TopK
from xmap.stages.datasets.dataset import TEST
from xmap.stages.engine import Advance, Engine
from xmap.stages.methods.searched import MethodOptions
from xmap.stages.progress import Progress, Silent
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.identity import Identity
from xmap.store.artifacts.parcel import Parcel, lay_out, pack, take_in
from xmap.store.errors import XmapError

if TYPE_CHECKING:
    from xmap.stages.fewshot.draw import ValidationProtocol


@dataclass(frozen=True)
class Training:
    """One adapter to train: what it is, the fingerprints of what it is trained on, and how."""

    identity: Identity
    images: str
    texts: str
    cache: str
    method: str
    options: MethodOptions
    seed: int
    protocol: ValidationProtocol
    shots: int
    device: Device
    top_k: TopK = "all"

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.images, self.texts, self.cache

    def build(self, store: Store, built: Built, progress: Progress) -> Artifact:
        """Train in this process."""
        from xmap.stages.train.stage import train

        images, texts, cache = (built[digest] for digest in self.inputs)
        return train(
            store,
            self.identity,
            images,
            texts,
            cache,
            self.method,
            self.options,
            self.seed,
            self.protocol,
            self.shots,
            self.device,
            progress,
            self.top_k,
        )


@dataclass(frozen=True)
class Trained:
    """A trained adapter as bytes, or why it could not be trained: a sentence where that was `expected`, else a traceback."""

    fingerprint: str
    parcel: Parcel | None
    problem: str = ""
    expected: bool = True
    units: int = 1


class Trainer:
    """Trains adapters from parcels in a store of its own: a `stages.engine.Worker`."""

    def __init__(self, parcels: Sequence[Parcel]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="xmap-train-")
        self._store = Store(Path(self._folder.name))
        self._built = {artifact.fingerprint: artifact for artifact in (lay_out(parcel, self._store) for parcel in parcels)}

    def work(self, trainings: Sequence[Training], advance: Advance) -> Generator[Trained]:
        """Train in order; one that fails is an answer, for the others go on."""
        for training in trainings:
            digest = training.identity.fingerprint
            try:
                made = training.build(self._store, self._built, Silent())
                trained = Trained(digest, pack(made))
                self._store.remove(made)
            except XmapError as error:
                trained = Trained(digest, None, str(error))
            except Exception as error:
                # A defect, or a machine out of memory: told in full where the step is done.
                trained = Trained(digest, None, "".join(traceback.format_exception(error)), expected=False)
            yield trained
            advance(1)


@dataclass
class Trainings:
    """The adapters of one plan, in order; `problems` says why those failed that an engine's workers could not train."""

    store: Store
    engine: Engine
    waiting: list[Training] = field(default_factory=list)
    problems: dict[str, Trained] | None = None

    def build(self, training: Training, built: Built, progress: Progress) -> Artifact:
        """The adapter of one of them. Raises `XmapError`, and `RuntimeError` for a defect that showed elsewhere."""
        if not self.engine.away:
            return training.build(self.store, built, progress)
        if self.problems is None:
            self.problems = {trained.fingerprint: trained for trained in self._spread(built, progress)}
        problem = self.problems.get(training.identity.fingerprint)
        if problem is not None:
            raise XmapError(problem.problem) if problem.expected else RuntimeError(f"on a worker of the engine: {problem.problem}")
        return self.store.require(training.identity)

    def _spread(self, built: Built, progress: Progress) -> Iterator[Trained]:
        """Have all that are missing trained and keep each as it comes; those that failed.

        Of the images, the shards of the test split stay here.
        """
        missing = {training.identity.fingerprint: training for training in self.waiting if self.store.find(training.identity) is None}
        if not missing:
            # Another process has just finished them.
            return
        inputs = {digest: built[digest] for training in missing.values() for digest in training.inputs}
        parcels = [pack(artifact, _not_test) for artifact in inputs.values()]
        progress.start("train", len(missing))
        with closing(self.engine.spread(partial(Trainer, parcels), list(missing.values()), progress.advance)) as answers:
            for trained in answers:
                if trained.parcel is None:
                    yield trained
                else:
                    take_in(trained.parcel, self.store, missing[trained.fingerprint].identity, progress.say)


def _not_test(name: str) -> bool:
    return not name.startswith(f"{TEST}-")
