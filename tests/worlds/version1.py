"""What version 1 left of an extraction: shards of samples in sorted order, planned from the data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from tests.worlds.contents import hashes_of
from xmap.stages.datasets.dataset import SPLITS, TRAIN, Sample
from xmap.stages.datasets.places.place import unit
from xmap.stages.extract.identity import ExtractSpec
from xmap.store.artifacts.fingerprint import Fields, fingerprint


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
        hashes = hashes_of(spec.dataset)
        for samples in _units(list(spec.dataset.split(split))):
            for start in range(0, len(samples), step):
                part = samples[start : start + step]
                yield Shard(split, part, tuple(hashes.get(sample.place) for sample in part), views, fields)


def _units(samples: Sequence[Sample]) -> list[tuple[Sample, ...]]:
    """Samples of one split in order, divided where one tar or table ends and the next begins."""
    return [tuple(part) for _, part in groupby(samples, key=lambda sample: unit(sample.place))]
