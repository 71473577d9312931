"""The images as one encoder sees them, and its class texts: what these artifacts are, and how to make them or find them in the store."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from xmap.pipeline.run.source import FEATURES, source_of
from xmap.pipeline.settings.config import XmapConfig
from xmap.stages.datasets.dataset import TEST, known_contents
from xmap.stages.names import IMAGES, TEXTS, Parts
from xmap.stages.workplace.place import Workplace
from xmap.store.artifacts.artifact import Artifact, Store, Survey
from xmap.store.artifacts.identity import Identity, safe_name
from xmap.store.artifacts.usable import usable
from xmap.store.errors import ArtifactMissing, InputError, XmapError

if TYPE_CHECKING:
    from xmap.stages.datasets.places.columns import Array
    from xmap.stages.extract.identity import ExtractSpec

Built = Mapping[str, Artifact]
Build = Callable[[Built, Workplace], Artifact]


@dataclass(frozen=True)
class Encoded:
    """Image features by one encoder with the fingerprint of each part, and its class texts: None without a text tower.

    `tested` is what the test images are known by (`stages.train.pool`), `remarks` what was said of the classes when stored features were
    made; of what is to be extracted the data set says it.
    """

    parts: Parts
    images: Identity
    build_images: Build
    texts: Identity | None
    build_texts: Build
    tested: Callable[[], Array]
    dataset: str
    remarks: tuple[str, ...] = ()

    @property
    def imported(self) -> bool:
        """Whether others extracted them."""
        return "encoder" not in self.images.fields


def stored(store: Store, name: str, where: str) -> Encoded:
    """Those that the store has under a name; `where` is what names them on a command line.

    Raises `ArtifactMissing`, and `InputError` for a pool, from which nothing can be learned.
    """
    images = usable(newest_features(store, IMAGES, name))
    if "imported" in images.summary and "classes" not in images.summary:
        raise InputError(
            f"features {images.name!r} have no labels, so that nothing can be learned from them: they are a pool; classify them with "
            f"`xmap predict --features {shlex.quote(images.name)}`."
        )
    usable(images, "classes")
    has_texts = any(found.name == images.name for found in store.artifacts(TEXTS))
    texts = newest_features(store, TEXTS, images.name) if has_texts or not _is_of_images_alone(images) else None
    return Encoded(
        Parts(images.name, dict(images.summary["parts"]), where, {FEATURES: name}),
        identity_of(images),
        partial(gone, images),
        None if texts is None else identity_of(texts),
        partial(gone, texts or images),
        partial(_tested, images),
        str(images.summary.get("dataset", images.name)),
        _remarks(images),
    )


def _tested(images: Artifact) -> Array:
    from xmap.stages.train.pool import of_test
    from xmap.store.formats.samples import contents_of

    return contents_of(images, of_test)


def _is_of_images_alone(images: Artifact) -> bool:
    """Whether features need no class texts: imported without, or of an encoder without a text tower."""
    encoder = images.fields.get("encoder")
    return "imported" in images.summary or (isinstance(encoder, Mapping) and "tokenizer" not in encoder)


def _remarks(images: Artifact) -> tuple[str, ...]:
    """What an import had to say of the classes: it holds in every run."""
    found = images.summary.get("remarks", ())
    return tuple(map(str, found)) if isinstance(found, list) else ()


def extracted(spec: ExtractSpec, config: XmapConfig, command: str) -> Encoded:
    """Those of the images and prompts of `spec`, as `config` names its encoder; `command` makes them."""
    from xmap.stages.extract.identity import image_identity, parts, text_identity

    source = source_of(config)
    images, texts = (replace(make(spec, command), source=source) for make in (image_identity, text_identity))

    def build_images(built: Built, workplace: Workplace) -> Artifact:
        from xmap.stages.extract.stage import extract_images

        return extract_images(workplace, images, spec)

    def build_texts(built: Built, workplace: Workplace) -> Artifact:
        from xmap.stages.extract.stage import extract_texts

        return extract_texts(workplace, texts, spec)

    def tested() -> Array:
        return known_contents(spec.dataset.split(TEST))

    about = Parts(images.name, parts(images), config.flags(), source)
    return Encoded(about, images, build_images, texts if spec.encoder.has_texts else None, build_texts, tested, spec.dataset.name)


def has_features(store: Store, name: str) -> bool:
    """Whether the store has features called `name`, damaged ones too."""
    survey = store.survey(IMAGES)
    return bool(_named(survey, name) or _damaged(survey, name))


def newest_features(store: Store, stage: str, name: str) -> Artifact:
    """The newest features of a name, or of the data set of that name. Raises `ArtifactMissing` and `ArtifactDamaged`."""
    survey = store.survey(stage)
    # It may be the newest of that name: an older one in its place would be stale.
    for damage in _damaged(survey, name):
        raise damage
    named = _named(survey, name)
    if not named:
        known = sorted({str(artifact.summary.get("dataset", artifact.name)) for artifact in survey.artifacts})
        remedy = f"it holds {', '.join(known)}" if known else "it holds none"
        raise ArtifactMissing(stage, name, f"{remedy}; run `xmap import LAYOUT PATH --name {shlex.quote(name)}` or `xmap extract`.")
    return usable(named[-1])


def _named(survey: Survey, name: str) -> list[Artifact]:
    return [artifact for artifact in survey.artifacts if name in (artifact.name, artifact.summary.get("dataset"))]


def _damaged(survey: Survey, name: str) -> list[XmapError]:
    return [damage for folder, damage in survey.damaged.items() if folder.name.startswith(f"{safe_name(name)}-")]


def identity_of(artifact: Artifact) -> Identity:
    return Identity(artifact.stage, artifact.name, artifact.fields, artifact.inputs, str(artifact.manifest["command"]))


def gone(artifact: Artifact, built: Built, workplace: Workplace) -> Artifact:
    raise ArtifactMissing(artifact.stage, artifact.name, "it was removed while this run was planned; run the same command again.")
