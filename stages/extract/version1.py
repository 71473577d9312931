"""Features of version 1: shards of samples in sorted order, found again by what their footers say, so that nobody encodes twice.

A shard held its samples' names and labels and was planned from the data set; what determined its bytes was hashed into its footer. So the
images at hand say which shards of that time are theirs. Augmented views depended on the names of samples: plain views alone are taken over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path

import numpy as np

from xmap.stages.config import AUTO
from xmap.stages.datasets.content.wide import has_wide
from xmap.stages.datasets.dataset import SPLITS, TRAIN, Sample
from xmap.stages.datasets.places.place import unit
from xmap.stages.extract.identity import ExtractSpec, decoding
from xmap.stages.names import IMAGES
from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.fingerprint import Fields, fingerprint
from xmap.store.errors import ArtifactDamaged
from xmap.store.formats.features import read_images
from xmap.store.formats.packs import Rows
from xmap.store.formats.tables import read_footer
from xmap.store.memory.notes import Notes

VERSION = 1


def rows_of_version_1(store: Store, spec: ExtractSpec, made_by: Fields) -> Iterator[Rows]:
    """The plain rows that features of version 1 in this store hold of the images at hand, made as they would be made now."""
    known = _footers(store)
    if not known:
        return
    wide = spec.config.depth == AUTO and has_wide((sample.place for sample in spec.dataset.samples), "", Notes())
    fields: Fields = {
        "version": VERSION,
        "encoder": spec.encoder.fields,
        "view_seed": spec.config.view_seed,
        "batch_size": spec.config.batch_size,
        "made_by": made_by,
        **({"depth": AUTO} if wide else {}),
        **decoding(spec.config),
    }
    for shard in plan_shards(spec, fields):
        path = known.get(shard.fingerprint)
        if path is not None:
            yield from _rows(path, shard)


@dataclass(frozen=True)
class Shard:
    """Some samples of one split: `contents` are the blake3 of their files (None where a file could not be read).

    Each sample gives 1 + `views` rows, in order of samples, then views. `fields` are everything else that determines the bytes.
    """

    split: str
    samples: tuple[Sample, ...]
    contents: tuple[str | None, ...]
    views: int
    fields: Fields

    @cached_property
    def fingerprint(self) -> str:
        listed = [[sample.sample_id, sample.label, content] for sample, content in zip(self.samples, self.contents, strict=True)]
        # Without augmentation its seed determines nothing.
        fields = self.fields if self.views else {**self.fields, "view_seed": None}
        return fingerprint({**fields, "split": self.split, "views": self.views, "samples": listed})


def plan_shards(spec: ExtractSpec, fields: Fields) -> Iterator[Shard]:
    """All shards of an extraction of version 1; only training images had augmented views, and a shard was of one tar or table."""
    config = spec.config
    for split in SPLITS:
        views = config.views if split == TRAIN else 0
        step = max(1, config.batch_size * config.shard_batches // (1 + views))
        for samples in _units(spec.dataset.split(split)):
            for start in range(0, len(samples), step):
                part = samples[start : start + step]
                yield Shard(split, part, tuple(spec.hashes.get(sample.place) for sample in part), views, fields)


def _units(samples: Sequence[Sample]) -> list[tuple[Sample, ...]]:
    """Samples of one split in order, divided where one tar or table ends and the next begins."""
    return [tuple(part) for _, part in groupby(samples, key=lambda sample: unit(sample.place))]


def _footers(store: Store) -> dict[str, Path]:
    """The feature tables of the store, of finished extractions or not, by the fingerprint in their footer."""
    found = {}
    for path in sorted((store.root / IMAGES).glob("*/*-*.parquet")):
        try:
            found[read_footer(path).get("xmap.fingerprint", "")] = path
        except ArtifactDamaged:
            # Somebody else's damage, or a folder that was just removed: encoding is always possible.
            continue
    return found


def _rows(path: Path, shard: Shard) -> Iterator[Rows]:
    """The plain rows of a file, if it holds: of images that were bad there are none."""
    contents = dict(zip((sample.sample_id for sample in shard.samples), shard.contents, strict=True))
    try:
        rows = read_images([path])
    except ArtifactDamaged:
        return
    plain = np.flatnonzero(rows.views == 0)
    found = [contents.get(rows.sample_ids[row]) for row in plain.tolist()]
    kept = [content for content in found if content is not None]
    if len(kept) == len(found) and kept:
        yield Rows(kept, rows.views[plain], rows.features[plain])
