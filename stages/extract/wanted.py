"""Which feature rows an extraction wants, and which of them the store lacks: the plan of its work, fixed before it starts.

A row belongs to an image's bytes and the number of a view, not to a place in a list. So renamed, relabelled, moved and repeated images,
other splits and other data sets want rows that are there. What is lacking is cut into shards of whole images, in the order of the data
set. No torch here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from xmap.stages.datasets.dataset import TRAIN, Sample
from xmap.stages.datasets.places.pictures import unread
from xmap.stages.extract.identity import ExtractSpec, makers
from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.fingerprint import Fields
from xmap.store.formats.packs import Packs, Reason, keys_of


@dataclass(frozen=True)
class Wanted:
    """Some views of one image: a `sample` that has it, the blake3 of its bytes (None where they could not be read), and their numbers."""

    sample: Sample
    content: str | None
    views: tuple[int, ...]


@dataclass(frozen=True)
class Shard:
    """Images whose rows are encoded and kept together."""

    images: tuple[Wanted, ...]


@dataclass(frozen=True)
class Library:
    """Where the rows of an extraction lie: the plain views, which know no view seed, and the augmented ones.

    `by_batch` where rows are those of their batch alone: one that is lacking is then made with its whole shard.
    """

    plain: Packs
    augmented: Packs
    by_batch: bool = False

    @classmethod
    def of(cls, root: Path, spec: ExtractSpec, made_by: Fields, batches: str = "") -> Library:
        """That of the store at `root`, for rows that a machine of this kind makes; `batches` as in `makers`."""
        plain, augmented = makers(spec, made_by, batches)
        return cls(Packs.of(root, spec.encoder.name, plain), Packs.of(root, spec.encoder.name, augmented), bool(batches))

    def has(self, contents: Sequence[str], view: int) -> Sequence[bool]:
        """Of which contents that view is there."""
        packs = self.augmented if view else self.plain
        found: list[bool] = packs.has(keys_of(contents, np.full(len(contents), view))).tolist()
        return found


def wanted(spec: ExtractSpec) -> list[Wanted]:
    """The images of a data set, each content once, in the order of its first sample; only training images have augmented views."""
    images: dict[str, Wanted] = {}
    plain, every = (0,), tuple(range(1 + spec.config.views))
    for sample in spec.dataset.samples:
        content = content_of(sample, spec)
        # What cannot be read has no content: each file of the kind is looked at for itself.
        key, views = key_of(sample, content), every if sample.split == TRAIN else plain
        known = images.get(key)
        if known is None:
            images[key] = Wanted(sample, content, views)
        elif len(views) > len(known.views):
            images[key] = replace(known, views=views)
    return list(images.values())


def key_of(sample: Sample, content: str | None) -> str:
    """What an image is known by: its content, or what stands for one where it has none."""
    return content or f"{sample.split}\0{sample.sample_id}"


def content_of(sample: Sample, spec: ExtractSpec) -> str | None:
    """The blake3 of a sample's bytes; None where these cannot be read, or its name says that they are none of a picture that is read."""
    return None if unread(sample.place.name) else spec.hashes.get(sample.place)


def lacking(images: Sequence[Wanted], library: Library, bad: dict[str, Reason]) -> list[Wanted]:
    """What of `images` is not in the library, with the views that it lacks; those that are known to be `bad` are not looked at again."""
    listed = [image.content for image in images if image.content is not None]
    most = max((image.views[-1] for image in images), default=0)
    there = {view: dict(zip(listed, library.has(listed, view), strict=True)) for view in range(most + 1)}
    found = []
    for image in images:
        views = image.views if image.content is None else tuple(view for view in image.views if not there[view][image.content])
        if views and image.content not in bad:
            found.append(replace(image, views=views))
    return found


def lacked(store: Store, spec: ExtractSpec, made_by: Mapping[str, str]) -> int:
    """How many images a machine of this kind would have to encode now."""
    library = Library.of(store.root, spec, dict(made_by))
    return len(lacking(wanted(spec), library, library.plain.reasons()))


def shards_of(images: Sequence[Wanted], rows: int) -> Iterator[Shard]:
    """Shards of at most so many rows; an image is never divided."""
    part: list[Wanted] = []
    count = 0
    for image in images:
        if part and count + len(image.views) > rows:
            yield Shard(tuple(part))
            part, count = [], 0
        part.append(image)
        count += len(image.views)
    if part:
        yield Shard(tuple(part))


def whole_shards(images: Sequence[Wanted], pending: Sequence[Wanted], rows: int) -> Iterator[Shard]:
    """The shards of all images that hold one that is pending."""
    keys = {key_of(image.sample, image.content) for image in pending}
    shards = shards_of(images, rows)
    yield from (shard for shard in shards if any(key_of(image.sample, image.content) in keys for image in shard.images))
