"""A trained adapter as an object that scores features and images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from xmap.pipeline.adapters.asking import asked_of, rules_in
from xmap.pipeline.upkeep.named import raise_damage
from xmap.stages.machine.imports import uncollected
from xmap.stages.workplace.progress import Progress, Silent
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.exported import require_whole
from xmap.store.artifacts.fingerprint import SHORT
from xmap.store.artifacts.root import is_exported, remedy_in
from xmap.store.artifacts.usable import usable
from xmap.store.disk.plain import plain
from xmap.store.errors import ArtifactMissing, InputError
from xmap.store.formats.tables import Array
from xmap.store.sql.views import dataset_of, providers_of

if TYPE_CHECKING:
    from torch import Tensor

    from xmap.pipeline.adapters.predictions import Predictions
    from xmap.stages.adapters.sets import Sets
    from xmap.stages.adapters.strangeness import Rejection
    from xmap.stages.encoder.identity import EncoderIdentity
    from xmap.stages.encoder.model import Encoder
    from xmap.stages.images.decode import Rules
    from xmap.stages.images.read import Given
    from xmap.stages.predict.answers import Answers
    from xmap.stages.predict.encoders import Encoders
    from xmap.stages.predict.prediction import Asked

# The stages that make an adapter's inputs.
INPUTS = {"cache": ("cache",), "texts": ("texts", "coop")}
BATCH = 64


class Adapter:
    """A trained adapter: `predict` takes images, `encode` gives their features, `predict_proba` takes such features.

    >>> adapter = xmap.load("pets")
    >>> features = adapter.encode("holiday")
    >>> adapter.predict_proba(features).shape
    (2, 3)
    >>> adapter.prediction_sets(features, 0.9).dtype.name, adapter.strangeness(features).shape
    ('bool', (2,))
    """

    def __init__(self, store: Store, artifact: Artifact) -> None:
        with uncollected():
            from xmap.stages.adapters.scorer import Scorer
            from xmap.stages.fewshot.cache import OpenCache

        if is_exported(store.root):
            require_whole(store.root)
        self.store, self.artifact = store, usable(artifact)
        self.cache_artifact, self.texts = (usable(artifact_input(store, artifact, name)) for name in ("cache", "texts"))
        self.scorer = Scorer(artifact, OpenCache(self.cache_artifact, self.texts))

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the columns of `predict_proba`."""
        return self.scorer.cache.text.names

    @cached_property
    def dataset(self) -> str:
        """The name of the data set whose classes it knows."""
        return dataset_of(self.artifact, providers_of(self.store.artifacts())) or ""

    def __repr__(self) -> str:
        facts = self.artifact.summary
        about = f"{facts['method']}, seed {facts['seed']}, {len(self.classes)} classes of {self.dataset or 'an unknown data set'}"
        made = f"trained {self.artifact.manifest['created']}, {self.artifact.fingerprint[:SHORT]}"
        return plain(f"<Adapter {self.artifact.name}: {about}; {made}>")

    def encoder(
        self, model: str = "", pretrained: str = "", cache_dir: str = "", device: str = "auto", also_model: Sequence[str] = ()
    ) -> Encoder | Encoders:
        """The encoder whose features the adapter takes, loaded for images alone; where it takes those of several, all of them.

        In an exported folder it is the one that lies there, unless `model` names another; `also_model` names further ones. Raises
        `InputError` where it is another or cannot be had.
        """
        from xmap.stages.encoder.model import Encoder
        from xmap.stages.machine.device import resolve_device
        from xmap.stages.predict.encoders import Encoders

        found, place = self.encoder_identities(model, pretrained, cache_dir, also_model), resolve_device(device)
        loaded = tuple(Encoder.load(identity, place, texts=False) for identity in found)
        return loaded[0] if len(loaded) == 1 else Encoders(loaded)

    def encoder_identity(self, model: str = "", pretrained: str = "", cache_dir: str = "") -> EncoderIdentity:
        """Which encoder `encoder` loads. Raises what that raises, and `InputError` for an adapter of several."""
        found = self.encoder_identities(model, pretrained, cache_dir)
        if len(found) > 1:
            raise InputError(
                f"{self.artifact.name} takes the features of {len(found)} encoders, and this works with one; name another adapter."
            )
        return found[0]

    def encoder_identities(
        self, model: str = "", pretrained: str = "", cache_dir: str = "", also_model: Sequence[str] = ()
    ) -> tuple[EncoderIdentity, ...]:
        """Which encoders `encoder` loads. Raises what that raises."""
        from xmap.pipeline.adapters.encoder import Given, encoder_config, encoder_of, recorded_encoders

        given, recorded = Given(model, pretrained, cache_dir, tuple(also_model)), recorded_encoders(self.texts, self.cache_artifact)
        if len(also_model) >= len(recorded):
            raise InputError(f"{self.artifact.name} takes the features of {len(recorded)} encoder(s); leave out --also-model.")
        widths = self.scorer.cache.widths or (self.scorer.cache.width,)
        found = []
        for one, width in zip(recorded, widths, strict=True):
            identity = encoder_of(self.store, one, encoder_config(self.store, one, given))
            if identity.width != width:
                raise InputError(
                    f"model {identity.name!r} gives features of width {identity.width}, the adapter takes {width}; name its own."
                )
            if is_exported(self.store.root) and not given.changes(one.number) and identity.hosted:
                raise InputError(
                    f"the encoder in {self.store.root} would be fetched in part ({identity.hosted[0]}); name it with {one.flag}."
                )
            found.append(identity)
        return tuple(found)

    @cached_property
    def _encoder(self) -> Encoder | Encoders:
        return self.encoder()

    def predict(
        self,
        images: Any,
        explain: bool = False,
        encoder: Encoder | Encoders | None = None,
        sets: float | None = None,
        sets_by: str = "all",
        reject: float | None = None,
    ) -> Predictions:
        """One `Prediction` an image, in order, by `encoder` or `self.encoder()`; with `sets=0.9` each with its set (see `sets`), with
        `reject=0.95` without a class for an image that is of none of them (see `rejection`).

        >>> found = xmap.load().predict(["photo.jpg", "holiday"], sets=0.9)
        >>> [(name, chance)] = found[0].top(1)
        >>> found.to_arrow().column_names[:3]
        ['path', 'class', 'probability']

        `images`: a path, a folder, a Pillow image, a NumPy array or torch tensor (channels last or first; uint8, or floats 0 to 1; with
        an axis more for a batch), the bytes of an image file, or a list of these. Of a file that is there and is no image, the
        prediction says so in `error`. Raises `InputError` for a path that is not there and for anything else.
        """
        from xmap.pipeline.adapters.given_images import given_images
        from xmap.pipeline.adapters.predictions import Predictions

        given = given_images(images)
        asked = self.asked(explain, sets, sets_by, reject)
        return Predictions(self.stream(given, encoder or self._encoder, asked=asked), asked)

    def asked(self, explain: bool = False, sets: float | None = None, sets_by: str = "all", reject: float | None = None) -> Asked:
        """What predictions are to say beside classes and probabilities. Raises `InputError`, as `sets` and `rejection`."""
        asked = asked_of(self.scorer.promises, explain, sets, sets_by, reject)
        return replace(asked, encoders=tuple(self.cache_artifact.summary.get("encoders", ())))

    def rejection(self, share: float = 0.95) -> Rejection:
        """Which images are of none of the classes: stranger than a `share` of the samples that chose nothing.

        `threshold` is the largest strangeness that is accepted, `rejects` takes strangeness, and its text says what it stands on. Raises
        `InputError` for an adapter of an older xmap and for what is no share.
        """
        return self.scorer.promises.rejection(share)

    def strangeness(self, features: Any) -> Array:
        """How far (B,) float64 image features (B, C), raw or of unit norm, are from everything known, 0 to 1. Raises `InputError`."""
        found = self._unit(features)
        strange: Array = self.scorer.strangeness(found, self.scorer.scores(found).logits).numpy()
        return strange

    def sets(self, level: float, by: str = "all") -> Sets:
        """Prediction sets that hold an image's class with a probability of at least `level`, by samples that chose nothing of it.

        `words` and `promise` say what they stand on; `members` takes raw logits. With `by="class"` each class that has samples
        enough has a threshold of its own. Raises `InputError` for an adapter of an older xmap and for what is no share.
        """
        return self.scorer.promises.sets(level, by)

    def encode(self, images: Any, encoder: Encoder | Encoders | None = None) -> Array:
        """The encoder's features (B, C) float32 of images, as `predict_proba` takes them. Raises `InputError`, as `predict`, and for
        an image that cannot be read."""
        from xmap.pipeline.adapters.given_images import given_images
        from xmap.stages.predict.predictor import encode

        given = given_images(images)
        return encode(given, encoder or self._encoder, BATCH, workers=2, rules=self.rules())

    def stream(
        self,
        images: Sequence[Given],
        encoder: Encoder | Encoders,
        progress: Progress | None = None,
        batch_size: int = BATCH,
        workers: int = 2,
        asked: Asked | None = None,
        rules: Rules | None = None,
    ) -> Iterator[Answers]:
        """Answers as they are made, `batch_size` images at a time, with what is `asked` beside.

        `rules` of reading pixels are those of the extraction unless given.
        """
        from xmap.stages.predict.predictor import Predictor

        predictor = Predictor(self.scorer, asked or self.asked())
        return predictor.predict(images, encoder, progress or Silent(), batch_size, workers, rules or self.rules())

    def rules(self, depth: str = "", max_pixels: int | None = None) -> Rules:
        """How pixels are read: as they were when the cached features were extracted, unless told otherwise. Raises `InputError`."""
        return rules_in(self.cache_artifact, depth, max_pixels)

    def predict_proba(self, features: Any) -> Array:
        """Calibrated class probabilities (B, N) float32 of image features (B, C), raw or of unit norm. Raises `InputError`."""
        chances: Array = self.scorer.probabilities(self._logits(features)).numpy()
        return chances

    def prediction_sets(self, features: Any, level: float, by: str = "all") -> Array:
        """Which classes (B, N) bool are in the set of each of image features (B, C), raw or of unit norm. Raises as `sets`."""
        members: Array = self.sets(level, by).members(self._logits(features)).numpy()
        return members

    def _logits(self, features: Any) -> Tensor:
        return self.scorer.scores(self._unit(features)).logits

    def _unit(self, features: Any) -> Tensor:
        """Unit features (B, C) of features from outside. Raises `InputError`."""
        import torch

        width = self.scorer.cache.width
        try:
            found = torch.as_tensor(np.asarray(features), dtype=torch.float32)
        except (TypeError, ValueError, RuntimeError) as error:
            kind = type(features).__name__
            raise InputError(f"features of type {kind} are no numbers: this adapter takes features of shape (B, {width}).") from error
        if found.dim() != 2 or found.shape[1] != width or not bool(torch.isfinite(found).all()):
            raise InputError(f"features of shape {tuple(found.shape)}: this adapter takes finite features of shape (B, {width}).")
        if bool((found == 0).all(1).any()):
            raise InputError(f"some features are all zero, and no image's are: this adapter takes features of shape (B, {width}).")
        return torch.nn.functional.normalize(found, dim=-1)


def artifact_input(store: Store, artifact: Artifact, name: str) -> Artifact:
    """The artifact that an adapter was made from: its `cache` or its `texts`. Raises `ArtifactMissing` and `ArtifactDamaged`."""
    digest, stages = artifact.inputs[name], INPUTS[name]
    found = store.by_fingerprint(digest, stages)
    if found is None:
        for stage in stages:
            raise_damage(store.survey(stage), digest)
        remedy = remedy_in(store.root, f"run `{artifact.manifest['command']}` again.")
        raise ArtifactMissing(name, artifact.inputs[name][:8], f"adapter {artifact.name!r} needs it; {remedy}")
    return found
