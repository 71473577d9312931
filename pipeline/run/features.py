"""Which features a run stands on: those of a dataset (extracted when missing), or those the store already has under a name."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmap.pipeline.engines.registry import engine_of
from xmap.pipeline.run.data_changes import AtHand
from xmap.pipeline.run.encoded import Build, Built, Encoded, extracted, stored
from xmap.pipeline.settings.config import XmapConfig
from xmap.stages.datasets.benchmarks.table import SCHEME
from xmap.stages.datasets.dataset import SPLITS, Dataset
from xmap.stages.datasets.places.place import is_url
from xmap.stages.encoder.names import LOCAL, TIMM, is_file, named_also, placed
from xmap.stages.join.identity import joined_identity, joined_parts
from xmap.stages.names import Parts
from xmap.stages.plugins import source_named
from xmap.stages.workplace.place import Workplace
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.fingerprint import explain, fingerprint
from xmap.store.artifacts.identity import Identity
from xmap.store.errors import InputError
from xmap.store.memory.notes import HASHES, Notes
from xmap.store.memory.sources import remember_source

if TYPE_CHECKING:
    from xmap.stages.datasets.places.columns import Array, Places
    from xmap.stages.encoder.identity import EncoderIdentity

# What the store remembers of encoders; no fingerprint includes it.
RECORDS = "encoders"


@dataclass(frozen=True)
class Features:
    """Image and text features: what they are, the fingerprint of each part of the images, and how to make them.

    Of several `encoders` (empty: one) the images are joined ones, the texts those of the first. `counts` are the images of each class in
    each split where these are known before extraction, `dataset` the name of the data set, `at_hand` its images as they are now, where
    there are any, `doubts` those of the remarks that make one doubt any results, `tested` what the test images are known by
    (`stages.train.pool`).
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
    encoders: tuple[Encoded, ...] = ()

    @classmethod
    def of(cls, one: Encoded, **about: Any) -> Features:
        """Those of one encoder. Raises `InputError` where it has no class texts."""
        if one.texts is None:
            raise InputError(
                f"features {one.parts.name!r} were imported without class texts, from which every method starts; import them again with "
                f"--texts FILE, or join them to features that have texts with --also-features {shlex.quote(one.parts.name)}."
            )
        return cls(one.images, one.texts, one.parts, one.build_images, one.build_texts, one.tested, dataset=one.dataset, **about)

    @property
    def first(self) -> Parts:
        """The parts of the first encoder's images."""
        return self.encoders[0].parts if self.encoders else self.parts

    @property
    def more_texts(self) -> tuple[Identity | None, ...]:
        """The class texts of the encoders beside the first, None of one without a text tower."""
        return tuple(one.texts for one in self.encoders[1:])

    @property
    def name(self) -> str:
        return self.parts.name

    @property
    def imported(self) -> bool:
        """Whether others extracted them: then there is no text tower at hand."""
        return "encoder" not in self.texts.fields

    @property
    def described(self) -> bool:
        """Whether sentences of the user's own describe the classes."""
        return "sentences" in self.texts.fields


def features_of(store: Store, config: XmapConfig, rehash: bool = False) -> Features:
    """The features that `config` asks for, of all its encoders.

    Raises `InputError` where it names none, or others than are of the same images, and `ArtifactMissing` for an unknown name.
    """
    if config.run.features:
        if config.run.also_model:
            raise InputError(
                "--also-model encodes images, and --features names stored features; give --data, or name others by --also-features."
            )
        found = _stored(store, config)
        if config.data.descriptions and not found.described:
            raise InputError(
                f"features {found.name!r} are stored with texts that have no sentences, and --descriptions is read beside --data; "
                "extract them with --data DIR and --descriptions FILE, or leave --descriptions out."
            )
        return found
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


def _stored(store: Store, config: XmapConfig) -> Features:
    name = config.run.features
    first = stored(store, name, config.flags())
    doubts = first.remarks if first.imported else ()
    return _joined(store, config, (first,), Features.of(first, remarks=first.remarks, doubts=doubts))


def _joined(store: Store, config: XmapConfig, seen: Sequence[Encoded], first: Features) -> Features:
    """The features of the `first` encoder, joined by those of the others and of stored ones that `config` names."""
    encoders = (*seen, *(stored(store, name, config.flags()) for name in config.run.also_features))
    if len(encoders) == 1:
        return first
    twice = [name for name, count in Counter(one.images.fingerprint for one in encoders).items() if count > 1]
    if twice:
        name = next(one.parts.name for one in encoders if one.images.fingerprint == twice[0])
        raise InputError(f"the features {name!r} are named twice; name each encoder once by --also-model and --also-features.")
    if config.text.text == "coop":
        raise InputError("--text coop tunes the texts of one encoder; leave out --also-model and --also-features, or use --text prompts.")
    parts = joined_parts([one.parts for one in encoders], config.flags())
    images = joined_identity(parts, [one.images for one in encoders])

    def build(built: Built, workplace: Workplace) -> Artifact:
        from xmap.stages.join.stage import join_images

        return join_images(workplace, images, [built[one.images.fingerprint] for one in encoders], parts)

    return replace(first, images=images, parts=parts, build_images=build, encoders=encoders)


def _extracted(store: Store, config: XmapConfig, rehash: bool) -> Features:
    """The features of the images that `config` names. Their files are hashed; with unchanged sizes and times, from memory."""
    from xmap.stages.datasets.content.repeats import repeats, without_leaks
    from xmap.stages.datasets.splits.groups import torn
    from xmap.stages.encoder.names import said_of_weights
    from xmap.stages.encoder.precision import settled
    from xmap.stages.extract.identity import ExtractSpec

    chosen, said = settled(config.encoder, config.run.device)
    config = config.model_copy(update={"encoder": chosen})
    configs = encoder_configs(config)
    dataset, encoders = _opened(store, tuple(map(grounded, configs)) if engine_of(config.run).away else configs, rehash)
    if config.data.drop_leaks:
        dataset = without_leaks(dataset)
    doubts = *repeats(dataset), *torn(dataset)
    dataset = replace(dataset, remarks=(*dataset.remarks, *doubts))
    specs = [ExtractSpec(dataset, encoder, config.extract) for encoder in encoders]
    seen = [
        extracted(spec, own, f"xmap extract {(own if own is configs[0] else config).flags()}".strip())
        for spec, own in zip(specs, configs, strict=True)
    ]
    for found, encoder, own in zip(seen, encoders, configs, strict=True):
        remember_source(store.root, found.images.fingerprint, grounded(own).data.model_dump(mode="json"))
        remember_source(store.root, fingerprint(encoder.fields), grounded(own).encoder.model_dump(mode="json"))
    first = Features.of(
        seen[0],
        counts=_counts(dataset),
        remarks=(*dataset.remarks, *dataset.text_remarks, *said, *said_of_weights(config.encoder)),
        encoder=encoders[0],
        at_hand=AtHand.of(store, specs[0], config.run),
        doubts=doubts,
    )
    return _joined(store, config, seen, first)


def _opened(store: Store, configs: Sequence[XmapConfig], rehash: bool) -> tuple[Dataset, tuple[EncoderIdentity, ...]]:
    """The images, with their contents, and the encoders of `configs`, one each. Raises `InputError` for a first one without texts."""
    from xmap.stages.datasets.content.hashing import hash_places, with_contents
    from xmap.stages.datasets.open import open_dataset
    from xmap.stages.encoder.identity import at_hand, resolve

    notes = Notes(store.root / HASHES, rehash)

    @cache
    def named() -> tuple[EncoderIdentity, ...]:
        return tuple(resolve(one.encoder, notes, store.root / RECORDS) for one in configs)

    def contents(places: Places) -> Array:
        # What the hub does not have is told before a million files are read.
        named()
        return hash_places(places, notes)

    # A slip in the model's name is told before anything is read: listing tars reads all of them.
    for one in configs:
        at_hand(one.encoder)
    dataset = with_contents(open_dataset(configs[0].data, notes, contents), contents)
    first = named()[0]
    if not first.has_texts:
        raise InputError(
            f"{first.name} has no text tower, and methods start from class texts; name it by --also-model beside a CLIP model."
        )
    return dataset, named()


def encoder_configs(config: XmapConfig) -> tuple[XmapConfig, ...]:
    """The settings of each encoder by itself: the first, then those that --also-model names."""
    alone = config.override({"run.also_model": [], "run.also_features": []})
    usual = {"encoder.force_quick_gelu": False}
    others = ({f"encoder.{field}": value for field, value in named_also(name).items()} for name in config.run.also_model)
    return alone, *(alone.override({**usual, **changes}) for changes in others)


def grounded(config: XmapConfig) -> XmapConfig:
    """The config with whole paths to images and weights: workers elsewhere start in other folders. No name or fingerprint changes."""
    data, root = config.data.data, config.data.root
    model, weights = config.encoder.model, config.encoder.pretrained
    whole = {"data.root": root and str(Path(root).absolute())}
    _, place = source_named(data)
    if not (is_url(place) or data.startswith(SCHEME)):
        whole["data.data"] = f"{data.removesuffix(place)}{Path(place).absolute()}"
    for kind in (LOCAL, f"{TIMM}{LOCAL}"):
        if model.startswith(kind):
            whole["encoder.model"] = f"{kind}{placed(model.removeprefix(kind)).absolute()}"
    if is_file(weights):
        whole["encoder.pretrained"] = str(placed(weights).absolute())
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
