"""A trained adapter as an object that scores features and images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.progress import Progress, Silent
from store.artifact import Artifact, Store
from store.errors import ArtifactMissing, InputError
from store.schemas import usable
from store.tables import Array

if TYPE_CHECKING:
    from stages.encoder import Encoder
    from stages.predict import Prediction, Predictor

EXPORT = "xmap-export.json"
BATCH = 64
PREFERRED = "xmadapter"


class Adapter:
    """A trained adapter: `predict` takes image files, `predict_proba` image features of its encoder."""

    def __init__(self, store: Store, artifact: Artifact) -> None:
        from stages.adapter import load_adapter
        from stages.methods.method import method

        self.store, self.artifact = store, usable(artifact)
        self.cache_artifact, self.texts = (usable(_input(store, artifact, name)) for name in ("cache", "texts"))
        self.fitted, self.cache = load_adapter(artifact, self.texts, self.cache_artifact)
        self.method = method(str(artifact.summary["method"]))

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the columns of `predict_proba`."""
        return self.cache.text.names

    @cached_property
    def predictor(self) -> Predictor:
        """The adapter with the index of its neighbours."""
        from stages.inputs import IMAGE_INDEX, VALUES
        from stages.predict import Predictor
        from store.index import VectorIndex
        from store.log import read_values

        own = self.artifact.files(prefix=IMAGE_INDEX)
        kept = self.cache.index
        index = kept.keys if kept else VectorIndex.load(own[0] if own else self.cache_artifact.file(IMAGE_INDEX))
        return Predictor(self.method, self.fitted, self.cache, index, bool(own), read_values(self.cache_artifact.file(VALUES)))

    def encoder(self, model: str = "", pretrained: str = "", cache_dir: str = "", device: str = "auto") -> Encoder:
        """The encoder whose features the adapter takes, loaded. Raises `InputError` where it is another or cannot be had."""
        from pipeline.encoders import encoder_config, encoder_of
        from stages.device import resolve_device
        from stages.encoder import Encoder

        config = encoder_config(self.store, self.texts, model, pretrained, cache_dir)
        identity = encoder_of(self.store, self.texts, config)
        width = int(self.cache.text.weights.shape[1])
        if identity.width != width:
            raise InputError(f"model {identity.name!r} gives features of width {identity.width}, the adapter takes {width}; name its own.")
        return Encoder.load(identity, resolve_device(device))

    @cached_property
    def _encoder(self) -> Encoder:
        return self.encoder()

    def predict(self, paths: Sequence[Path | str] | Path | str, explain: bool = False) -> list[Prediction]:
        """One `Prediction` an image, in order; `paths` are files or folders. Raises `InputError`."""
        given = [paths] if isinstance(paths, str | Path) else list(paths)
        return list(self.stream(image_paths(given), self._encoder, neighbors=5 if explain else 0))

    def stream(
        self,
        paths: Sequence[Path],
        encoder: Encoder,
        progress: Progress | None = None,
        batch_size: int = BATCH,
        workers: int = 2,
        neighbors: int = 0,
    ) -> Iterator[Prediction]:
        """Predictions as they are made, `batch_size` images at a time; with `neighbors` nearest cached images each."""
        return self.predictor.predict(paths, encoder, progress or Silent(), batch_size, workers, neighbors)

    def predict_proba(self, features: Any) -> Array:
        """Class probabilities (B, N) float32 of image features (B, C), raw or of unit norm. Raises `InputError`."""
        import torch

        width = self.cache.text.weights.shape[1]
        found = torch.as_tensor(np.asarray(features), dtype=torch.float32)
        if found.dim() != 2 or found.shape[1] != width or not bool(torch.isfinite(found).all()):
            raise InputError(f"features of shape {tuple(found.shape)}: this adapter takes finite features of shape (B, {width}).")
        with torch.no_grad():
            logits = self.method.scores(self.fitted, self.cache, torch.nn.functional.normalize(found, dim=-1)).logits
        chances: Array = logits.float().softmax(1).numpy()
        return chances


def load_named(store: Store, name: str) -> Adapter:
    """The adapter in the exported folder `name`, else the newest whose name, folder or fingerprint is or starts with `name`.

    Raises `ArtifactMissing`.
    """
    if name and (Path(name) / EXPORT).is_file():
        store = Store(Path(name))
        return Adapter(store, _only(store.artifacts("adapter"), name))
    adapters = store.artifacts("adapter")
    exact = [found for found in adapters if name in (found.name, found.path.name, str(found.path))]
    begun = [found for found in adapters if name and found.fingerprint.startswith(name)]
    if not exact and not begun:
        raise ArtifactMissing("adapter", name, "run `xmap status` to see what there is, or `xmap train`.")
    return Adapter(store, (exact or begun)[-1])


def load_chosen(store: Store, name: str = "", method: str = "", seed: int | None = None) -> Adapter:
    """The adapter called `name`; else the newest trained with `method` and `seed`, those of the newest evaluation first.

    Without a method XMAdapter is taken where that evaluation has it, else the last of its methods: never by its accuracy, which
    would be a choice made on test. Raises `ArtifactMissing`.
    """
    if name:
        return load_named(store, name)
    evaluation = next(reversed(store.artifacts("eval")), None)
    compared = [str(found) for found in evaluation.fields.get("methods", ())] if evaluation else []
    wanted = method or (PREFERRED if PREFERRED in compared else next(reversed(compared), ""))
    adapters = store.artifacts("adapter")
    fitting = [found for found in adapters if wanted in ("", found.summary.get("method")) and seed in (None, found.summary.get("seed"))]
    if not fitting:
        asked = ", ".join([wanted or "any method", "any seed" if seed is None else f"seed {seed}"])
        raise ArtifactMissing("adapter", asked, "run `xmap run` first, or name one of `xmap status` with --adapter.")
    evaluated = set(evaluation.inputs.values()) if evaluation else set()
    chosen = [found for found in fitting if found.fingerprint in evaluated]
    return Adapter(store, min(chosen, key=lambda found: int(found.summary.get("seed") or 0)) if chosen else fitting[-1])


def image_paths(given: Sequence[Path | str], progress: Progress | None = None) -> list[Path]:
    """The image files named: files as they are, folders walked for pictures, sorted; `progress` hears what was left out.

    Raises `InputError` where there is none.
    """
    from stages.datasets.folder import Scan
    from stages.datasets.pictures import IMAGE_SUFFIXES

    found: list[Path] = []
    said = progress or Silent()
    for entry in map(Path, given):
        if entry.is_dir():
            scan = Scan(entry)
            below = sorted(path for path in scan.below(entry) if isinstance(path, Path))
            for remark in scan.remarks():
                said.say(f"{entry}: {remark}")
            if not below:
                raise InputError(f"0 images under {entry}; looked for {' '.join(IMAGE_SUFFIXES)}.")
            found += below
        else:
            found.append(entry)
    if not found:
        raise InputError("no images are named; give files or folders, or - to read their names from stdin.")
    return found


def _only(adapters: Sequence[Artifact], name: str) -> Artifact:
    if len(adapters) != 1:
        raise InputError(f"{name} holds {len(adapters)} adapters, not one; export it again with `xmap export`.")
    return adapters[0]


def _input(store: Store, artifact: Artifact, name: str) -> Artifact:
    found = store.by_fingerprint(artifact.inputs[name])
    if found is None:
        remedy = f"adapter {artifact.name!r} needs it; run `{artifact.manifest['command']}` again."
        raise ArtifactMissing(name, artifact.inputs[name][:8], remedy)
    return found
