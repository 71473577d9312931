"""An exported adapter whose encoder, caches and texts are one ONNX file: it says what `Adapter` says, and no torch is imported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xmap.pipeline.adapters.adapter import artifact_input
from xmap.pipeline.adapters.asking import asked_of, rules_in
from xmap.stages.datasets.classes.shared_names import told_apart
from xmap.stages.onnx.form import FILE, WEIGHTS
from xmap.stages.onnx.session import Session
from xmap.stages.workplace.progress import Progress
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.exported import Export, require_whole
from xmap.store.artifacts.root import EXPORT, remedy_in
from xmap.store.artifacts.usable import usable
from xmap.store.errors import ArtifactDamaged, InputError

if TYPE_CHECKING:
    from xmap.stages.images.decode import Rules
    from xmap.stages.images.read import Given
    from xmap.stages.predict.answers import Answers
    from xmap.stages.predict.prediction import Asked


class OnnxAdapter:
    """The adapter of an exported folder, by its `model.onnx` alone.

    Raises `ArtifactDamaged` for a folder or file that is not as it was exported, or not of this adapter, and what asks for other files.
    """

    def __init__(self, store: Store, artifact: Artifact) -> None:
        require_whole(store.root)
        self.store, self.artifact = store, usable(artifact)
        self.cache_artifact, texts = (usable(artifact_input(store, artifact, name)) for name in ("cache", "texts"))
        self._session = _session(store)
        about = self._session.about
        self.classes = about.labels
        if about.fingerprint != artifact.fingerprint or self.classes != told_apart([str(name) for name in texts.summary["classes"]]):
            raise ArtifactDamaged(store.root / FILE, "it is of another adapter", remedy_in(store.root, ""))

    def asked(self, explain: bool = False, sets: float | None = None, sets_by: str = "all", reject: float | None = None) -> Asked:
        """What answers are to say beside classes and probabilities, as `Adapter.asked` has it. Raises `InputError`."""
        from xmap.stages.adapters.promises import Promises

        return asked_of(Promises(self.artifact, len(self.classes)), explain, sets, sets_by, reject)

    def rules(self, depth: str = "", max_pixels: int | None = None) -> Rules:
        """How pixels are read, as `Adapter.rules` has it. Raises `InputError`."""
        return rules_in(self.cache_artifact, depth, max_pixels)

    def stream(
        self, images: Sequence[Given], progress: Progress, batch_size: int, workers: int, asked: Asked, rules: Rules
    ) -> Iterator[Answers]:
        """Answers as they are made, `batch_size` images at a time. Raises `InputError` for a file that cannot be run."""
        from xmap.stages.fewshot.cached import read_cached
        from xmap.stages.onnx.predictor import OnnxPredictor

        predictor = OnnxPredictor(self._session, asked, read_cached(self.cache_artifact) if asked.neighbors else None)
        return predictor.predict(images, progress, batch_size, workers, rules)


def has_onnx_file(name: str) -> bool:
    """Whether an adapter's name is an exported folder that lists an ONNX file. Raises `ArtifactDamaged`."""
    root = Path(name)
    return bool(name) and (root / EXPORT).is_file() and FILE in Export.read(root).files


def _session(store: Store) -> Session:
    export = Export.read(store.root)
    if WEIGHTS in export.files:
        export.file(WEIGHTS)
    try:
        return Session(export.data(FILE), store.root)
    except InputError as error:
        raise InputError(f"{store.root / FILE} is not used: {error}") from error
