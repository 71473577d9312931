"""What image and text features are, decided before they exist. Plain hashing: planning a run imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xmap.stages.config import AUTO, ExtractConfig
from xmap.stages.datasets.content.wide import has_wide
from xmap.stages.datasets.dataset import SPLITS, TRAIN, Dataset, Sample
from xmap.stages.datasets.places.pictures import HEIC
from xmap.stages.datasets.places.place import unit
from xmap.stages.encoder.identity import EncoderIdentity
from xmap.stages.extract.shards import VERSION, Hashes, decoding, units
from xmap.stages.images.heif import has_heif
from xmap.stages.names import IMAGES, TEXTS
from xmap.store.artifacts.fingerprint import Json, fingerprint
from xmap.store.artifacts.identity import Identity
from xmap.store.memory.notes import Notes

TEXT_BATCH = 64
COMMAND = "xmap extract"


@dataclass(frozen=True)
class ExtractSpec:
    """Which features to make: the images and prompts of `dataset` through `encoder`.

    `hashes` are the blake3 of the sample files; a file without one is unreadable.
    """

    dataset: Dataset
    hashes: Hashes
    encoder: EncoderIdentity
    config: ExtractConfig

    @property
    def name(self) -> str:
        return f"{self.dataset.name}-{self.encoder.name}"


def image_identity(spec: ExtractSpec, command: str = COMMAND, notes: Notes | None = None) -> Identity:
    """What the image features are.

    Where an image has room for more than 8 bits a value, how these are read is told; `notes` remember whether one has.
    """
    dataset, hashes, config = spec.dataset, spec.hashes, spec.config
    content = {split: _content(dataset.split(split), hashes) for split in SPLITS if dataset.split(split)}
    places = (sample.place for sample in dataset.samples)
    wide = config.depth == AUTO and has_wide(places, fingerprint(content), notes or Notes())
    fields: dict[str, Json] = {
        "version": VERSION,
        "encoder": spec.encoder.fields,
        "views": config.views,
        # Without augmentation its seed determines nothing.
        "view_seed": config.view_seed if config.views else None,
        "batch_size": config.batch_size,
        "shard_batches": config.shard_batches,
        "classes": list(dataset.classes),
        "content": content,
        **({"depth": AUTO} if wide else {}),
        **decoding(config),
        **_unread(dataset),
    }
    return Identity(IMAGES, spec.name, fields, command=command)


def _unread(dataset: Dataset) -> dict[str, Json]:
    """What cannot be read here and now, so that it is read once the extra is installed."""
    heif = any(sample.sample_id.lower().endswith(HEIC) for sample in dataset.samples)
    return {"without": ["heic"]} if heif and not has_heif() else {}


def text_identity(spec: ExtractSpec, command: str = COMMAND) -> Identity:
    """What the text features of the dataset's classes and templates are."""
    fields: dict[str, Json] = {
        "version": VERSION,
        "encoder": spec.encoder.fields,
        "classes": list(spec.dataset.classes),
        "templates": list(spec.dataset.templates),
        "batch_size": TEXT_BATCH,
    }
    return Identity(TEXTS, spec.name, fields, command=command)


def parts(identity: Identity) -> dict[str, str]:
    """A fingerprint for each split of image features, so that what is made from one split outlives a change in another."""
    fields = dict(identity.fields)
    content = fields.pop("content")
    if not isinstance(content, Mapping):
        raise TypeError(f"not the identity of image features: {identity.stage}")
    plain = {**fields, "views": 0, "view_seed": None}
    return {split: fingerprint({**(fields if split == TRAIN else plain), "content": digest}) for split, digest in content.items()}


def _content(samples: Sequence[Sample], hashes: Hashes) -> str:
    listed = [[sample.sample_id, sample.label, hashes.get(sample.place)] for sample in samples]
    cuts = [len(part) for part in units(samples)]
    # Shards end where a tar or table does, so where these end determines bytes too.
    return fingerprint({"samples": listed, "units": cuts} if any(unit(sample.place) for sample in samples) else listed)
