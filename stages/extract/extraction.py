"""One extraction at work: what the store lacks is encoded, shard by shard, and kept by content as it comes.

What is to be encoded is fixed before work starts and each shard's rows are kept at once, so an interrupted extraction goes on where it was,
and ends with the rows it would have had, whatever engine encodes and in whatever order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np

from xmap.stages.datasets.dataset import Dataset, Samples
from xmap.stages.extract.identity import ExtractSpec
from xmap.stages.extract.reuse import library_of, remember_made, take_over
from xmap.stages.extract.shard_encoder import Encoded, ShardEncoder, error_row
from xmap.stages.extract.wanted import Images, Shard, bad_of, key_of, lacking, readable, shards_of, wanted, whole_shards
from xmap.stages.images.depths import assumed
from xmap.stages.machine.kind import this_machine
from xmap.stages.machine.threads import loading_threads
from xmap.stages.workplace.place import Workplace
from xmap.stages.workplace.progress import Progress
from xmap.store.errors import InputError
from xmap.store.formats.feature_rows import Rows
from xmap.store.formats.features import ErrorRow
from xmap.store.formats.packs import Reason
from xmap.store.formats.shelf import Shelf
from xmap.store.memory.hashes import hexes

# How many bad images are named on the spot.
NAMED = 10
# Why bytes give no image, whatever machine reads them and however much memory it has: not asked again.
LASTING = ("empty", "not-an-image", "truncated", "damaged")


@dataclass
class Extraction:
    """One extraction of the images of `spec`: why contents, and samples that could not even be hashed, gave no image."""

    workplace: Workplace
    spec: ExtractSpec
    bad: dict[str, Reason] = field(default_factory=dict)
    logit_scale: float | None = None
    waiting: list[Rows] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.machine = self.workplace.engine.call(this_machine, self.workplace.device)
        self.library = library_of(self.workplace, self.spec, self.machine)
        packs = self.library.plain, self.library.augmented
        self.plain, self.augmented = (Shelf(self.workplace.store, found, self.library.plain.name) for found in packs)

    @cached_property
    def images(self) -> Images:
        """What is wanted of the images, each content once."""
        return wanted(self.spec)

    @cached_property
    def samples(self) -> Samples:
        """The samples, without the contents of those that are none of a picture."""
        return readable(self.spec.dataset.samples)

    def run(self) -> Iterator[int]:
        """Have encoded what the store lacks, and say of how many images each part was; what is done stays, whatever ends the work.

        Raises `InputError` where all images are bad, and what encoding raises.
        """
        progress, config, images = self.workplace.progress, self.spec.config, self.images
        shards = self.planned()
        left = sum(len(shard.images) for shard in shards)
        done = len(images) - left
        if shards:
            threads = loading_threads(self.machine.device, left, self.workplace.workers)
            make = partial(ShardEncoder, self.spec.encoder, config, self.machine, threads)
            with closing(self.workplace.engine.spread(make, shards, progress.advance)) as answers:
                progress.start("encode images", len(images), done)
                try:
                    for encoded in answers:
                        self._keep(encoded)
                        yield encoded.units
                finally:
                    self._write_plain()
        else:
            progress.start("encode images", len(images), done)
        if shards and sum(shard.rows for shard in shards) == int(images.views.sum()):
            remember_made(self.workplace.store, self.spec, self.library, self.machine)
        self._require_any()
        if depths := self.depths():
            progress.say(assumed(depths))

    def lost(self, start: int = 0, stop: int | None = None) -> dict[int, ErrorRow]:
        """The samples that are known to be bad, by row, of all or of some that follow one another."""
        rows = np.arange(len(self.samples))[start:stop]
        part = self.samples.take(rows)
        return {start + row: error_row(part[row], *reason) for row, reason in bad_of(part, self.bad).items()}

    def planned(self) -> list[Shard]:
        """What the store lacks now. Others may plan the same: what both make is kept once."""
        config, images = self.spec.config, self.images
        rows = config.batch_size * config.shard_batches
        with self.plain.lock(self.workplace.progress.say):
            self.plain.open()
            self.augmented.open()
            self.bad.update(self.library.plain.reasons())
            pending = lacking(images, self.library, self.bad)
            if self.library.by_batch:
                return list(whole_shards(images, pending, rows))
            if len(pending):
                take_over(self.workplace, self.spec, self.library, self.machine)
                pending = lacking(images, self.library, self.bad)
            return list(shards_of(pending, rows))

    def depths(self) -> Counter[int]:
        """How many images were taken to have values of so many bits, now or when their rows were made."""
        known = self.library.plain.depths()
        contents = hexes(self.images.contents) if known else ()
        return Counter(known[content] for content in contents if content in known)

    def _keep(self, encoded: Encoded) -> None:
        plain, config = encoded.rows.views == 0, self.spec.config
        if encoded.depths:
            # Before the rows: once these are there, nobody looks at the image again.
            self.plain.add_depths(encoded.depths)
        if not plain.all():
            self.augmented.add(encoded.rows.take(np.flatnonzero(~plain)))
        # Of a shard with augmented views the plain ones are few: they wait for others, so that packs are not many and small.
        self.waiting.append(encoded.rows.take(np.flatnonzero(plain)))
        if self.library.by_batch or sum(map(len, self.waiting)) >= config.batch_size * config.shard_batches:
            self._write_plain()
        reasons = {key_of(image.sample, image.content): (bad.kind, bad.message) for image, bad in encoded.bad}
        self.bad.update(reasons)
        lasting = {image.content: reasons[image.content] for image, bad in encoded.bad if image.content and bad.kind in LASTING}
        if lasting:
            self.plain.add_reasons(lasting)
        self.logit_scale = encoded.logit_scale

    def _write_plain(self) -> None:
        waiting, self.waiting = [rows for rows in self.waiting if len(rows)], []
        if waiting:
            self.plain.add(Rows.joined(waiting))

    def _require_any(self) -> None:
        lost = self.lost()
        if len(lost) == len(self.samples):
            first = why(next(iter(lost.values())))
            raise InputError(f"none of the images of {self.spec.dataset.name!r} can be used: {first}; give sound ones.")


def say_bad(rows: Sequence[ErrorRow], dataset: Dataset, progress: Progress) -> None:
    """Say how many images are bad, and name the first."""
    if rows:
        listed = ", ".join(f"{count} {kind}" for kind, count in kinds_of(rows).items())
        progress.say(f"{len(rows)} of {len(dataset.samples)} images could not be used: {listed}")
        for row in rows[:NAMED]:
            progress.say(f"  {row.path}: {row.kind}, {row.message}")


def why(row: ErrorRow) -> str:
    """What is wrong with an image, in words."""
    return f"{row.path!r} is {row.kind} ({row.message})"


def kinds_of(rows: Sequence[ErrorRow]) -> dict[str, int]:
    """How many bad images there are of each kind."""
    return dict(sorted(Counter(row.kind for row in rows).items()))
