"""Which feature rows an extraction wants, and which of them the store lacks: the plan of its work, fixed before it starts.

A row belongs to an image's bytes and the number of a view, not to a place in a list. So renamed, relabelled, moved and repeated images,
other splits and other data sets want rows that are there. What is lacking is cut into shards of whole images, in the order of the data
set. No torch here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload

import numpy as np

from xmap.stages.datasets.dataset import TRAIN, Sample, Samples, known_contents, order
from xmap.stages.datasets.places.columns import Array
from xmap.stages.datasets.places.pictures import unread
from xmap.stages.extract.identity import ExtractSpec, makers
from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.fingerprint import Fields
from xmap.store.formats.feature_rows import digest_keys
from xmap.store.formats.packs import Packs, Reason
from xmap.store.memory.hashes import DIGEST, hexes


@dataclass(frozen=True)
class Wanted:
    """Some views of one image: a `sample` that has it, the blake3 of its bytes (None where they could not be read), and their numbers."""

    sample: Sample
    content: str | None
    views: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Images(Sequence[Wanted]):
    """Some views of many images in columns: a row (m,) of `samples` each, whose contents they are known by, and views (m, V) bool."""

    samples: Samples
    rows: Array
    views: Array

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def contents(self) -> Array:
        """The contents (m,), zeros for what has none."""
        return known_contents(self.samples)[self.rows]

    @overload
    def __getitem__(self, place: int) -> Wanted: ...

    @overload
    def __getitem__(self, place: slice) -> Images: ...

    def __getitem__(self, place: int | slice) -> Wanted | Images:
        if isinstance(place, slice):
            return self.take(np.arange(len(self))[place])
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        row = int(self.rows[place])
        content = known_contents(self.samples)[row : row + 1]
        known = content.tobytes().hex() if content[0] else None
        return Wanted(self.samples[row], known, tuple(np.flatnonzero(self.views[place]).tolist()))

    def take(self, places: Array) -> Images:
        """Some of the images, in the given order."""
        return Images(self.samples, self.rows[places], self.views[places])

    def apart(self) -> Images:
        """The same with no samples but their own, to be sent elsewhere."""
        return Images(self.samples.take(self.rows), np.arange(len(self)), self.views)


@dataclass(frozen=True)
class Shard:
    """Images whose rows are encoded and kept together."""

    images: Images

    @property
    def rows(self) -> int:
        """How many rows these are, where none of the images is bad."""
        return int(self.images.views.sum())


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

    def has(self, contents: Array, view: int) -> Array:
        """Of which contents (n,) `DIGEST` that view is there (n,) bool."""
        packs = self.augmented if view else self.plain
        return packs.has(digest_keys(contents, np.full(len(contents), view)))


def wanted(spec: ExtractSpec) -> Images:
    """The images of a data set, each content once, in the order of its first sample; only training images have augmented views."""
    samples = readable(spec.dataset.samples)
    contents = known_contents(samples)
    known = np.flatnonzero(contents != b"")
    _, first, of = np.unique(contents[known], return_index=True, return_inverse=True)
    # What cannot be read has no content: each file of the kind is looked at for itself.
    rows = np.concatenate([known[first], np.flatnonzero(contents == b"")])
    trained = samples.splits == order(TRAIN)
    augmented = np.concatenate([np.bincount(of, trained[known], len(first)) > 0, trained[rows[len(first) :]]])
    places = np.argsort(rows)
    views = np.ones((len(rows), 1 + spec.config.views), bool)
    views[:, 1:] = augmented[places, None]
    return Images(samples, rows[places], views)


def readable(samples: Samples) -> Samples:
    """The samples, without the contents of those whose names say that they are none of a picture that is read."""
    others = np.fromiter((bool(unread(name)) for name in samples.places.names()), bool, len(samples))
    return replace(samples, contents=np.where(others, b"", known_contents(samples))) if others.any() else samples


def key_of(sample: Sample, content: str | None) -> str:
    """What an image is known by: its content, or what stands for one where it has none."""
    return content or f"{sample.split}\0{sample.sample_id}"


def keys_at(samples: Samples, rows: Array) -> Iterator[str]:
    """What the images of these rows (m,) are known by; a `Sample` is made of none but those without a content."""
    contents = known_contents(samples)[rows]
    known = zip(rows.tolist(), hexes(contents), (contents != b"").tolist(), strict=True)
    return (content if there else key_of(samples[row], None) for row, content, there in known)


def bad_of(samples: Samples, bad: Mapping[str, Reason]) -> dict[int, Reason]:
    """Why samples, by row and in order, are of images that are known to be bad."""
    contents = known_contents(samples)
    digests = np.asarray([bytes.fromhex(key) for key in bad if "\0" not in key], DIGEST)
    asked = np.flatnonzero((contents == b"") | np.isin(contents, digests))
    return {row: bad[key] for row, key in zip(asked.tolist(), keys_at(samples, asked), strict=True) if key in bad}


def lacking(images: Images, library: Library, bad: Mapping[str, Reason]) -> Images:
    """What of `images` is not in the library, with the views that it lacks; those that are known to be `bad` are not looked at again."""
    contents, views = images.contents, images.views.copy()
    known = np.flatnonzero(contents != b"")
    for view in np.flatnonzero(views.any(axis=0)).tolist():
        views[known, view] &= ~library.has(contents[known], view)
    views[np.isin(images.rows, list(bad_of(images.samples, bad)))] = False
    return Images(images.samples, images.rows, views).take(np.flatnonzero(views.any(axis=1)))


def lacked(store: Store, spec: ExtractSpec, made_by: Mapping[str, str]) -> int:
    """How many images a machine of this kind would have to encode now."""
    library = Library.of(store.root, spec, dict(made_by))
    return len(lacking(wanted(spec), library, library.plain.reasons()))


def shards_of(images: Images, rows: int) -> Iterator[Shard]:
    """Shards of at most so many rows; an image is never divided."""
    ends, start = np.cumsum(images.views.sum(axis=1)), 0
    while start < len(images):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + rows, "right")))
        yield Shard(images[start:stop].apart())
        start = stop


def whole_shards(images: Images, pending: Images, rows: int) -> Iterator[Shard]:
    """The shards of all images that hold one that is pending."""
    keys = set(keys_at(pending.samples, pending.rows))
    yield from (shard for shard in shards_of(images, rows) if not keys.isdisjoint(keys_at(shard.images.samples, shard.images.rows)))
