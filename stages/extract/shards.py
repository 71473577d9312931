"""The plan of an image extraction, fixed before work starts, and the search for shards that are already there.

A shard is whole samples in sorted order, cut into batches of one size. What determines its bytes is hashed into its footer: a
shard with the right footer is kept after an interruption and copied from any other extraction, so that one changed image costs
one shard. No torch here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from xmap.stages.config import ExtractConfig
from xmap.stages.datasets.dataset import SPLITS, TRAIN, Dataset, Sample
from xmap.stages.datasets.places.place import Place, unit
from xmap.stages.names import IMAGES
from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.fingerprint import Fields, Json, fingerprint
from xmap.store.errors import ArtifactDamaged

if TYPE_CHECKING:
    from xmap.store.formats.features import ImageFeatures

# Raise when the same declared fields would give other bytes: another augmentation, another order of rows.
VERSION = 1

Hashes = Mapping[Place, str]


@dataclass(frozen=True)
class Shard:
    """Some samples of one split: `contents` are the blake3 of their files (None where a file could not be read).

    Each sample gives 1 + `views` rows, in order of samples, then views. `fields` are everything else that determines the bytes.
    """

    split: str
    number: int
    samples: tuple[Sample, ...]
    contents: tuple[str | None, ...]
    views: int
    fields: Fields

    @property
    def name(self) -> str:
        return f"{self.split}-{self.number:05d}.parquet"

    @cached_property
    def fingerprint(self) -> str:
        listed = [[sample.sample_id, sample.label, content] for sample, content in zip(self.samples, self.contents, strict=True)]
        # Without augmentation its seed determines nothing.
        fields = self.fields if self.views else {**self.fields, "view_seed": None}
        return fingerprint({**fields, "split": self.split, "views": self.views, "samples": listed})


def plan_shards(dataset: Dataset, hashes: Hashes, extract: ExtractConfig, fields: Fields) -> list[Shard]:
    """All shards of an extraction; only training images have augmented views.

    A sample is never divided: a shard may hold a few rows less than its batches could. Nor does a shard hold samples of two tars or
    tables, so that replacing one of these encodes its own samples alone.
    """
    shards = []
    for split in SPLITS:
        views = extract.views if split == TRAIN else 0
        step = max(1, extract.batch_size * extract.shard_batches // (1 + views))
        parts = (samples[start : start + step] for samples in units(dataset.split(split)) for start in range(0, len(samples), step))
        for number, part in enumerate(parts):
            shards.append(Shard(split, number, part, tuple(hashes.get(sample.place) for sample in part), views, fields))
    return shards


def decoding(extract: ExtractConfig) -> Fields:
    """What settings change in how pixels are read: nothing is said of those that are as they always were."""
    given: dict[str, Json] = {"depth": extract.depth, "max_pixels": extract.max_pixels}
    return {name: value for name, value in given.items() if value != ExtractConfig.model_fields[name].default}


def units(samples: Sequence[Sample]) -> list[tuple[Sample, ...]]:
    """Samples of one split in order, divided where one tar or table ends and the next begins."""
    return [tuple(part) for _, part in groupby(samples, key=lambda sample: unit(sample.place))]


def find_rows(path: Path, shard: Shard) -> ImageFeatures | None:
    """The rows of the file at `path` if it is that shard, whole: right footer, right checksums, right rows."""
    if not path.is_file():
        return None
    from xmap.store.formats.features import read_images
    from xmap.store.formats.tables import read_footer

    try:
        if read_footer(path).get("xmap.fingerprint") != shard.fingerprint:
            return None
        rows = read_images([path])
    except ArtifactDamaged:
        return None
    present = set(rows.sample_ids)
    planned = [(sample.sample_id, view) for sample in shard.samples if sample.sample_id in present for view in range(1 + shard.views)]
    return rows if list(zip(rows.sample_ids, rows.views.tolist(), strict=True)) == planned else None


def shards_elsewhere(store: Store, folder: Path) -> dict[str, Path]:
    """The shards of all image extractions of the store but `folder`, finished or not, by the fingerprint in their footer."""
    from xmap.store.formats.tables import read_footer

    found = {}
    for path in sorted((store.root / IMAGES).glob("*/*-*.parquet")):
        if path.parent.name == folder.name:
            continue
        try:
            found[read_footer(path).get("xmap.fingerprint", "")] = path
        except ArtifactDamaged:
            # Somebody else's damage, or a folder that was just removed: computing the shard is always possible.
            continue
    return found


def missing(shard: Shard, rows: ImageFeatures) -> Sequence[tuple[Sample, str | None]]:
    """The samples of a shard that have no rows: their images were bad."""
    present = set(rows.sample_ids)
    return [pair for pair in zip(shard.samples, shard.contents, strict=True) if pair[0].sample_id not in present]
