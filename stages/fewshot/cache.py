"""A cache of the store, opened: its class texts, what its rows are, which key belongs to which class, and the index over its keys."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from xmap.stages.fewshot.cached import VALUES, more_texts_file, read_cached
from xmap.stages.fewshot.draw import support_split, take_samples
from xmap.stages.fewshot.load import load_text, support_of
from xmap.stages.fewshot.space import Space
from xmap.stages.fewshot.task import KeyIndex, Segments, Support, Text
from xmap.stages.fewshot.wide import Widths, part_of
from xmap.store.artifacts.artifact import Artifact
from xmap.store.errors import ArtifactDamaged
from xmap.store.formats.features import read_texts
from xmap.store.formats.index import VectorIndex
from xmap.store.formats.log import Values
from xmap.store.formats.tables import Array

IMAGE_INDEX = "image.faiss"
TEXT_INDEX = "text.faiss"
# Keys that are read from an index at a time.
CHUNK = 65_536


class OpenCache:
    """Each file is read when it is first asked for, once, and checked then: whoever works with a cache hands this on.

    Everything here raises `ArtifactDamaged` for a file that is not what `build-cache` writes.
    """

    def __init__(self, artifact: Artifact, texts: Artifact) -> None:
        self.artifact, self.texts = artifact, texts
        self.shots, self._classes = int(artifact.summary["shots"]), [str(name) for name in artifact.summary["classes"]]

    @cached_property
    def text(self) -> Text:
        """The class texts, where classes are described with sentences weighed by its keys. Raises `InputError` for a single class."""
        text = self._unguided
        if text.sentences is None:
            return text
        if text.classes != len(self._classes):
            raise self._damaged(f"its {len(self._classes)} classes are not the {text.classes} of its texts")
        return text.guided(self._chunks(), self.segments.labels, self.segments.counts)

    @cached_property
    def _unguided(self) -> Text:
        return load_text(self.texts)

    @cached_property
    def widths(self) -> Widths:
        """How wide the features of each encoder are in wide rows; empty where there is one encoder."""
        found = tuple(int(width) for width in self.artifact.summary.get("widths", ()))
        if found and found[0] != self._unguided.weights.shape[1]:
            raise self._damaged(f"its first encoder has width {found[0]}, its texts {self._unguided.weights.shape[1]}")
        return found

    @property
    def width(self) -> int:
        """C, the width of features and keys."""
        return sum(self.widths) or int(self._unguided.weights.shape[1])

    @cached_property
    def more_texts(self) -> tuple[Text | None, ...]:
        """The class texts of the other encoders, None of one without a text tower."""
        scales = self.artifact.summary.get("more_scales", ())
        return tuple(None if scale is None else self._more_text(number, float(scale)) for number, scale in enumerate(scales, 2))

    def _more_text(self, number: int, scale: float) -> Text:
        rows, width = read_texts(self.artifact.file(more_texts_file(number))), self.widths[number - 1]
        if rows.class_ids.tolist() != list(range(len(self._classes))) or rows.features.shape[1] != width:
            problem = f"its rows are not of {len(self._classes)} classes and width {width}"
            raise ArtifactDamaged(self.artifact.path / more_texts_file(number), problem, self.artifact.remedy)
        return Text(self.text.names, torch.from_numpy(rows.features.astype(np.float32)), scale)

    def zero_shot(self, features: Tensor) -> Tensor:
        """Zero-shot logits (B, N) of unit features (B, C): those of the first encoder, which has the class texts; no image has a say."""
        return self._unguided.logits(part_of(features, self.widths, 0))

    @cached_property
    def values(self) -> Values:
        """What its rows are, as `read_cached` has them."""
        return read_cached(self.artifact)

    @cached_property
    def segments(self) -> Segments:
        """Which key belongs to which class."""
        return Segments.of(torch.from_numpy(self.values.labels.astype(np.int64)), len(self._classes), self.shots)

    @cached_property
    def index(self) -> VectorIndex:
        """The index over its image keys."""
        return open_index(self.artifact, len(self.values), self.width)

    @cached_property
    def space(self) -> Space:
        """The space of its image keys in which images of one class lie alike."""
        return Space.of(self._chunks(), self.segments)

    def _chunks(self) -> Iterator[Tensor]:
        return (self._finite(self.index.keys(slice(row, row + CHUNK))) for row in range(0, len(self.values), CHUNK))

    def _finite(self, keys: Array) -> Tensor:
        if not np.isfinite(keys).all():
            raise ArtifactDamaged(self.artifact.path / IMAGE_INDEX, "its keys are not finite numbers", self.artifact.remedy)
        return torch.from_numpy(keys)

    def keys(self, k: int) -> KeyIndex:
        """Its keys where they are, in the index, of which a query retrieves `k`."""
        return KeyIndex(self.index, self.segments, k)

    def support(self, images: Artifact, rows: Array | None = None) -> Support:
        """The samples that it was built from, all or those at `rows`, with their single views. Raises `InputError` for other features."""
        ids = self.values.sample_ids
        ids = ids if rows is None else tuple(ids[row] for row in rows.tolist())
        support = support_of(take_samples(images, support_split(images, self.shots), set(ids)), self.shots, len(self._classes))
        if support.sample_ids != ids:
            raise self._damaged("its rows are not those of the image features")
        return support

    def _damaged(self, problem: str) -> ArtifactDamaged:
        return ArtifactDamaged(self.artifact.path / VALUES, problem, self.artifact.remedy)


def open_index(artifact: Artifact, rows: int, width: int) -> VectorIndex:
    """The image index of a cache or adapter, over `rows` keys of `width`. Raises `ArtifactDamaged` where it is of others."""
    index = VectorIndex.load(artifact.file(IMAGE_INDEX))
    if (len(index), index.width) != (rows, width):
        problem = f"it holds {len(index):,} keys of width {index.width}, not {rows:,} of width {width}"
        raise ArtifactDamaged(artifact.path / IMAGE_INDEX, problem, artifact.remedy)
    return index
