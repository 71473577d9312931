"""What image and text features are, decided before they exist. Plain hashing: planning a run imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import repeat

from xmap.stages.config import ExtractConfig
from xmap.stages.datasets.dataset import SPLITS, TRAIN, Dataset, Samples, known_contents
from xmap.stages.datasets.places.columns import texts
from xmap.stages.datasets.places.pictures import HEIC
from xmap.stages.encoder.identity import EncoderIdentity
from xmap.stages.images.heif import has_heif
from xmap.stages.names import IMAGES, POOL, PROJECTION, TEXTS
from xmap.store.artifacts.fingerprint import Fields, Json, fingerprint, list_fingerprint, quoted
from xmap.store.artifacts.identity import Identity
from xmap.store.memory.hashes import DIGEST, hexes

# Raise when the same declared fields would give other rows: another augmentation, another crop. Prompts have a version of their own.
VERSION = 2
# Raise when the tables of samples hold something else, or are read in another order.
TABLES_VERSION = 1
TEXT_VERSION = 1
TEXT_BATCH = 64
PROJECTION_SCHEMA = 1
COMMAND = "xmap extract"
UNKNOWN = "00" * DIGEST.itemsize
# The parts of image features, and the split of the samples in each: those without one are a pool.
TABLES_OF = {**{split: split for split in SPLITS}, POOL: ""}


@dataclass(frozen=True)
class ExtractSpec:
    """Which features to make: the images, whose contents are known, and prompts of `dataset` through `encoder`."""

    dataset: Dataset
    encoder: EncoderIdentity
    config: ExtractConfig

    @property
    def name(self) -> str:
        return f"{self.dataset.name}-{self.encoder.name}"


def image_identity(spec: ExtractSpec, command: str = COMMAND) -> Identity:
    """What the image features are: the samples of each split with the contents of their files, and what makes rows of contents."""
    dataset, config = spec.dataset, spec.config
    fields: dict[str, Json] = {
        "version": VERSION,
        "tables": TABLES_VERSION,
        "encoder": spec.encoder.fields,
        "views": config.views,
        # Without augmentation its seed determines nothing.
        "view_seed": config.view_seed if config.views else None,
        "batch_size": config.batch_size,
        "classes": list(dataset.classes),
        "content": {name: _content(dataset.split(split)) for name, split in TABLES_OF.items() if len(dataset.samples.split(split))},
        **decoding(config),
        **_unread(dataset),
    }
    return Identity(IMAGES, spec.name, fields, command=command)


def makers(spec: ExtractSpec, made_by: Fields, batches: str = "") -> tuple[Fields, Fields]:
    """All that determines a plain row and an augmented one, beside the image's bytes and the number of the view.

    With the libraries and the kind of device, `made_by`: rows of another machine's arithmetic are made anew; and with what is in all
    its `batches`, where a row depends on its neighbours in them.
    """
    plain: dict[str, Json] = {
        "version": VERSION,
        "encoder": spec.encoder.fields,
        "batch_size": spec.config.batch_size,
        "made_by": made_by,
        **({"batches": batches} if batches else {}),
        **decoding(spec.config),
    }
    # A seed that no view is drawn with makes no difference, here as in the identity of image features.
    seed = spec.config.view_seed if spec.config.views else ExtractConfig.model_fields["view_seed"].default
    return plain, {**plain, "view_seed": seed}


def decoding(extract: ExtractConfig) -> Fields:
    """What settings change in how pixels are read: nothing is said of those that are as they always were."""
    given: dict[str, Json] = {"depth": extract.depth, "max_pixels": extract.max_pixels}
    return {name: value for name, value in given.items() if value != ExtractConfig.model_fields[name].default}


def _unread(dataset: Dataset) -> dict[str, Json]:
    """What cannot be read here and now, so that it is read once the extra is installed."""
    heif = any(sample_id.lower().endswith(HEIC) for sample_id in texts(dataset.samples.ids))
    return {"without": ["heic"]} if heif and not has_heif() else {}


def text_identity(spec: ExtractSpec, command: str = COMMAND) -> Identity:
    """What the text features of the dataset's classes and templates are."""
    fields: dict[str, Json] = {
        "version": TEXT_VERSION,
        "encoder": spec.encoder.fields,
        "classes": list(spec.dataset.classes),
        "templates": list(spec.dataset.templates),
        "batch_size": TEXT_BATCH,
        # Where nobody describes any, nothing is said of sentences: the fields are as they always were.
        **({"sentences": _sentences(spec.dataset)} if spec.dataset.sentences else {}),
    }
    return Identity(TEXTS, spec.name, fields, command=command)


def projection_identity(texts: Identity, command: str) -> Identity:
    """What the text tower gives for the prompts of `texts` before its projection: apart from `texts`, which so stay what they are."""
    fields = {"schema": PROJECTION_SCHEMA, "encoder": texts.fields["encoder"], "batch_size": TEXT_BATCH}
    return Identity(PROJECTION, texts.name, fields, {"texts": texts.fingerprint}, command, texts.source)


def _sentences(dataset: Dataset) -> dict[str, Json]:
    """The sentences of each class that has any, by its name."""
    return {name: list(said) for name, said in zip(dataset.classes, dataset.sentences, strict=True) if said}


def parts(identity: Identity) -> dict[str, str]:
    """A fingerprint for each split of image features, so that what is made from one split outlives a change in another."""
    fields = dict(identity.fields)
    content = fields.pop("content")
    if not isinstance(content, Mapping):
        raise TypeError(f"not the identity of image features: {identity.stage}")
    plain = {**fields, "views": 0, "view_seed": None}
    return {split: fingerprint({**(fields if split == TRAIN else plain), "content": digest}) for split, digest in content.items()}


def _content(samples: Samples) -> str:
    """The hash of what the table of a split says of samples; of groups nothing is said where there are none."""
    ids, hashes = map(quoted, texts(samples.ids)), hexes(known_contents(samples))
    groups: Iterable[str] = map(",".__add__, map(quoted, texts(samples.groups))) if samples.grouped() else repeat("")
    rows = zip(ids, map(str, samples.labels.tolist()), hashes, groups, strict=False)
    return list_fingerprint(
        f"[{name},{label},{'null' if content == UNKNOWN else quoted(content)}{group}]" for name, label, content, group in rows
    )
