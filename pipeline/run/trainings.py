"""The adapters of a plan: each trained in this process, or all that are missing at once by the workers of an engine.

Workers elsewhere see no store. They are handed what training reads, as bytes and without any test features, and hand back
the finished artifact.
"""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from xmap.pipeline.run.encoded import Built
from xmap.stages.datasets.dataset import TEST
from xmap.stages.names import IMAGES, JOINED
from xmap.stages.train.identity import TrainSpec
from xmap.stages.workplace.engine import Advance
from xmap.stages.workplace.place import Workplace
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.identity import Identity
from xmap.store.artifacts.parcel import Parcel, lay_out, pack, take_in
from xmap.store.errors import XmapError

if TYPE_CHECKING:
    from xmap.store.formats.feature_rows import Rows
    from xmap.store.formats.packs import Packs
    from xmap.store.formats.tables import Array

# Rows of a pack where adapters are trained. They come in the order of the tables, each of which then reads a pack or two.
PACK = 1 << 14


@dataclass(frozen=True)
class Training:
    """One adapter to train: what it is, the fingerprints of what it is trained on, those `beside` by name, and how."""

    identity: Identity
    images: str
    texts: str
    cache: str
    spec: TrainSpec
    beside: Mapping[str, str] = field(default_factory=dict)

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.images, self.texts, self.cache, *self.beside.values()

    def build(self, built: Built, workplace: Workplace) -> Artifact:
        """Train in this process."""
        from xmap.stages.train.stage import train

        images, texts, cache = built[self.images], built[self.texts], built[self.cache]
        beside = {name: built[digest] for name, digest in self.beside.items()}
        return train(workplace, self.identity, images, texts, cache, self.spec, beside)


@dataclass(frozen=True)
class Trained:
    """A trained adapter as bytes, or why it could not be trained: a sentence where that was `expected`, else a traceback."""

    fingerprint: str
    parcel: Parcel | None
    problem: str = ""
    expected: bool = True
    units: int = 1

    @property
    def error(self) -> Exception:
        """What to raise for one that could not be trained."""
        return XmapError(self.problem) if self.expected else RuntimeError(f"on a worker of the engine: {self.problem}")


class Trainer:
    """Trains adapters from parcels in a store of its own: a `stages.workplace.engine.Worker`."""

    def __init__(self, parcels: Sequence[Parcel], rows: Mapping[str, Rows], device: str) -> None:
        """`rows` are the feature rows that parcels of images refer to, by maker."""
        self._folder = tempfile.TemporaryDirectory(prefix="xmap-train-")
        self._workplace = Workplace(Store(Path(self._folder.name)), device=device)
        laid = (lay_out(parcel, self._workplace.store) for parcel in parcels)
        import numpy as np

        from xmap.store.formats.packs import Packs

        for maker, shared in rows.items():
            for start in range(0, len(shared), PACK):
                Packs(self._workplace.store.root, maker).write(shared.take(np.arange(start, min(start + PACK, len(shared)))))
        self._built = {artifact.fingerprint: artifact for artifact in laid}

    def work(self, trainings: Sequence[Training], advance: Advance) -> Generator[Trained]:
        """Train in order; one that fails is an answer, for the others go on."""
        for training in trainings:
            digest = training.identity.fingerprint
            try:
                made = training.build(self._built, self._workplace)
                trained = Trained(digest, pack(made))
                self._workplace.store.remove(made)
            except XmapError as error:
                trained = Trained(digest, None, str(error))
            except Exception as error:
                # A defect, or a machine out of memory: told in full where the step is done.
                trained = Trained(digest, None, "".join(traceback.format_exception(error)), expected=False)
            yield trained
            advance(1)


def train_away(trainings: Sequence[Training], built: Built, workplace: Workplace) -> dict[str, Trained]:
    """Have all that are missing trained where the engine works, and keep each as it comes; those that failed, by fingerprint.

    Of the images, the samples of the test split stay here, and the rows that they alone refer to.
    """
    store, progress = workplace.store, workplace.progress
    missing = {training.identity.fingerprint: training for training in trainings if store.find(training.identity) is None}
    if not missing:
        # Another process has just finished them.
        return {}
    inputs = {digest: built[digest] for training in missing.values() for digest in training.inputs}
    parcels = [pack(artifact, _not_test) for artifact in inputs.values()]
    make = partial(Trainer, parcels, _rows(inputs.values()), workplace.device)
    failed = {}
    progress.start("train", len(missing))
    with closing(workplace.engine.spread(make, list(missing.values()), progress.advance)) as answers:
        for trained in answers:
            if trained.parcel is None:
                failed[trained.fingerprint] = trained
            else:
                take_in(trained.parcel, store, missing[trained.fingerprint].identity, progress.say)
    return failed


def _rows(artifacts: Iterable[Artifact]) -> dict[str, Rows]:
    """The feature rows that image features among `artifacts` refer to outside the test split, by maker."""
    import numpy as np

    from xmap.store.formats.samples import referred_rows

    wanted: dict[Packs, list[Array]] = {}
    for artifact in artifacts:
        for packs, keys in referred_rows(artifact, _not_test) if artifact.stage in (IMAGES, JOINED) else ():
            wanted.setdefault(packs, []).append(keys)
    return {packs.name: packs.take(np.concatenate(found)) for packs, found in wanted.items()}


def _not_test(name: str) -> bool:
    return not name.startswith(f"{TEST}-")
