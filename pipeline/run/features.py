"""Which features a run stands on: those of a dataset (extracted when missing), or those the store already has under a name."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from xmap.pipeline.engines.registry import engine_of
from xmap.pipeline.run.data_changes import AtHand
from xmap.pipeline.run.source import FEATURES, source_of
from xmap.pipeline.settings.config import XmapConfig
from xmap.stages.datasets.benchmarks.table import SCHEME
from xmap.stages.datasets.dataset import SPLITS, TEST, Dataset, known_contents
from xmap.stages.datasets.places.place import is_url
from xmap.stages.encoder.names import LOCAL
from xmap.stages.names import IMAGES, TEXTS, Parts
from xmap.stages.plugins import source_named
from xmap.stages.workplace.place import Workplace
from xmap.store.artifacts.artifact import Artifact, Store, Survey
from xmap.store.artifacts.fingerprint import explain, fingerprint
from xmap.store.artifacts.identity import Identity, safe_name
from xmap.store.artifacts.usable import usable
from xmap.store.errors import ArtifactMissing, InputError, XmapError
from xmap.store.memory.notes import HASHES, Notes
from xmap.store.memory.sources import remember_source

if TYPE_CHECKING:
    from xmap.stages.datasets.places.columns import Array, Places
    from xmap.stages.encoder.identity import EncoderIdentity

# What the store remembers of encoders; no fingerprint includes it.
RECORDS = "encoders"

Built = Mapping[str, Artifact]
Build = Callable[[Built, Workplace], Artifact]


@dataclass(frozen=True)
class Features:
    """Image and text features: what they are, the fingerprint of each part of the images, and how to make them.

    `counts` are the images of each class in each split where these are known before extraction, `dataset` the name of the data set,
    `at_hand` its images as they are now, where there are any, `doubts` those of the remarks that make one doubt any results,
    `tested` what the test images are known by (`stages.train.pool`).
    """

    images: Identity
    texts: Identity
    parts: Parts
    build_images: Build
    build_texts: Build
    tested: Callable[[], Array]
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    encoder: EncoderIdentity | None = None
    dataset: str = ""
    at_hand: AtHand | None = None
    doubts: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.parts.name

    @property
    def imported(self) -> bool:
        """Whether others extracted them: then there is no text tower at hand."""
        return "encoder" not in self.texts.fields


def features_of(store: Store, config: XmapConfig, rehash: bool = False) -> Features:
    """The features that `config` asks for. Raises `InputError` where it names none, `ArtifactMissing` for an unknown name."""
    if config.run.features:
        return _stored(store, config.run.features, config.flags())
    if not config.data.data:
        raise InputError("no images named: give --data FOLDER, set [data] data in xmap.toml, or use stored features with --features NAME.")
    return _extracted(store, config, rehash)


def encoder_of(
    store: Store, config: XmapConfig, features: Features, rehash: bool = False, otherwise: str = "use --text prompts"
) -> EncoderIdentity:
    """The encoder of `features`, whose text tower is needed, as by CoOp; `otherwise` does without.

    Raises `InputError` for imported features, and where stored ones are of another encoder than the config names.
    """
    if features.encoder is not None:
        return features.encoder
    if features.imported:
        raise InputError(
            f"features {features.name!r} were imported and come without a text tower, which --text coop tunes prompts through; "
            "use --text prompts, or extract the images with --data DIR and --model NAME."
        )
    from xmap.stages.encoder.identity import resolve
    from xmap.stages.encoder.precision import settled

    encoder = resolve(settled(config.encoder, config.run.device)[0], Notes(store.root / HASHES, rehash), store.root / RECORDS)
    changes = explain(features.texts.fields["encoder"], encoder.fields)
    if changes:
        raise InputError(
            f"features {features.name!r} are not of encoder {encoder.name!r} ({changes[0]}); "
            f"give the --model and --pretrained they were extracted with, or {otherwise}."
        )
    return encoder


def _stored(store: Store, name: str, where: str) -> Features:
    images = _taught(store, newest_features(store, IMAGES, name))
    texts = newest_features(store, TEXTS, images.name)
    return Features(
        identity_of(images),
        identity_of(texts),
        Parts(images.name, dict(images.summary["parts"]), where, {FEATURES: name}),
        partial(gone, images),
        partial(gone, texts),
        partial(_tested, images),
        remarks=_remarks(images),
        dataset=str(images.summary.get("dataset", images.name)),
        doubts=_remarks(images) if "imported" in images.summary else (),
    )


def _tested(images: Artifact) -> Array:
    from xmap.stages.train.pool import known_by, of_test

    return known_by(images, of_test)


def _taught(store: Store, images: Artifact) -> Artifact:
    """Image features that something can be learned from. Raises `InputError` for those that others imported without labels or texts."""
    if "imported" in images.summary:
        if "classes" not in images.summary:
            raise InputError(
                f"features {images.name!r} have no labels, so that nothing can be learned from them: they are a pool; classify them with "
                f"`xmap predict --features {shlex.quote(images.name)}`."
            )
        if not any(found.name == images.name for found in store.artifacts(TEXTS)):
            raise InputError(
                f"features {images.name!r} were imported without class texts, from which every method starts; import them again with "
                "--texts FILE."
            )
    return usable(images, "classes")


def _remarks(images: Artifact) -> tuple[str, ...]:
    """What an import had to say of the classes: it holds in every run."""
    found = images.summary.get("remarks", ())
    return tuple(map(str, found)) if isinstance(found, list) else ()


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


def _extracted(store: Store, config: XmapConfig, rehash: bool) -> Features:
    """The features of the images that `config` names. Their files are hashed; with unchanged sizes and times, from memory."""
    from xmap.stages.datasets.content.hashing import hash_places, with_contents
    from xmap.stages.datasets.content.repeats import repeats, without_leaks
    from xmap.stages.datasets.open import open_dataset
    from xmap.stages.datasets.splits.groups import torn
    from xmap.stages.encoder.identity import at_hand, resolve
    from xmap.stages.encoder.names import said_of_weights
    from xmap.stages.encoder.precision import settled
    from xmap.stages.extract.identity import ExtractSpec, image_identity, parts, text_identity

    chosen, said = settled(config.encoder, config.run.device)
    config = config.model_copy(update={"encoder": chosen})
    notes = Notes(store.root / HASHES, rehash)
    placed = grounded(config) if engine_of(config.run).away else config

    @cache
    def named() -> EncoderIdentity:
        return resolve(placed.encoder, notes, store.root / RECORDS)

    def contents(places: Places) -> Array:
        # What the hub does not have is told before a million files are read.
        named()
        return hash_places(places, notes)

    # A slip in the model's name is told before anything is read: listing tars reads all of them.
    at_hand(placed.encoder)
    dataset = with_contents(open_dataset(placed.data, notes, contents), contents)
    encoder = named()
    if config.data.drop_leaks:
        dataset = without_leaks(dataset)
    doubts = *repeats(dataset), *torn(dataset)
    dataset = replace(dataset, remarks=(*dataset.remarks, *doubts))
    command = f"xmap extract {config.flags()}".strip()
    spec, source = ExtractSpec(dataset, encoder, config.extract), source_of(config)
    made = image_identity(spec, command), text_identity(spec, command)
    images, texts = (replace(identity, source=source) for identity in made)
    remember_source(store.root, images.fingerprint, grounded(config).data.model_dump(mode="json"))
    remember_source(store.root, fingerprint(encoder.fields), grounded(config).encoder.model_dump(mode="json"))

    def build_images(built: Built, workplace: Workplace) -> Artifact:
        from xmap.stages.extract.stage import extract_images

        return extract_images(workplace, images, spec)

    def build_texts(built: Built, workplace: Workplace) -> Artifact:
        from xmap.stages.extract.stage import extract_texts

        return extract_texts(workplace, texts, spec)

    return Features(
        images,
        texts,
        Parts(images.name, parts(images), config.flags(), source),
        build_images,
        build_texts,
        lambda: known_contents(dataset.split(TEST)),
        _counts(dataset),
        (*dataset.remarks, *said, *said_of_weights(config.encoder)),
        encoder,
        dataset.name,
        AtHand.of(store, spec, config.run),
        doubts,
    )


def grounded(config: XmapConfig) -> XmapConfig:
    """The config with whole paths to images and weights: workers elsewhere start in other folders. No name or fingerprint changes."""
    data, root = config.data.data, config.data.root
    model, weights = config.encoder.model, config.encoder.pretrained
    whole = {"data.root": root and str(Path(root).absolute())}
    _, place = source_named(data)
    if not (is_url(place) or data.startswith(SCHEME)):
        whole["data.data"] = f"{data.removesuffix(place)}{Path(place).absolute()}"
    if model.startswith(LOCAL):
        whole["encoder.model"] = f"{LOCAL}{Path(model.removeprefix(LOCAL)).expanduser().absolute()}"
    if weights and Path(weights).expanduser().is_file():
        whole["encoder.pretrained"] = str(Path(weights).expanduser().absolute())
    return config.override(whole)


def _counts(dataset: Dataset) -> Mapping[str, Mapping[str, int]]:
    """The images of each class in each split that has any, those of one content counted once, as draws do."""
    import numpy as np

    from xmap.stages.datasets.splits.units import Units

    samples, splits = dataset.samples, len(SPLITS)
    units = Units.of_samples(samples, nothing=b"")
    cells = samples.labels * np.int64(splits) + samples.splits
    once = np.unique(cells * len(units) + units.numbers) // len(units)
    counts = np.bincount(once, minlength=len(dataset.classes) * splits).reshape(-1, splits)
    there = [place for place in range(splits) if len(samples.split(SPLITS[place]))]
    return {name: {SPLITS[place]: int(row[place]) for place in there} for name, row in zip(dataset.classes, counts, strict=True)}
