"""Training on retrieved keys: the keys stay in the cache's index, and no affinity to all of them is ever formed.

A method whose keys are the cache's own is handed the index in place of the keys. Of a support beyond `LOGGED` samples, that many
at even steps stand for all of it in the training log.
"""

from __future__ import annotations

import numpy as np

from xmap.stages.fewshot.draw import support_split, take_samples
from xmap.stages.fewshot.load import VALUES, load_index, load_segments, support_of
from xmap.stages.fewshot.task import KeyIndex, Support
from xmap.store.artifacts.artifact import Artifact
from xmap.store.formats.log import read_values
from xmap.store.formats.tables import Array

LOGGED = 50_000


def key_index(cache: Artifact, k: int, width: int) -> KeyIndex:
    """The keys of a cache, of `width`, in the index that `build-cache` left. Raises `ArtifactDamaged`."""
    segments = load_segments(cache)
    return KeyIndex(load_index(cache, len(segments.labels), width), segments, k)


def logged_rows(total: int) -> Array:
    """The keys (Q,) whose samples the training log tells of: all of them, or `LOGGED` at even steps."""
    return np.unique(np.linspace(0, total - 1, min(total, LOGGED)).astype(np.int64))


def logged_support(images: Artifact, cache: Artifact, shots: int) -> Support:
    """The samples of a cache that the training log tells of, in the order of its keys."""
    ids = read_values(cache.file(VALUES)).sample_ids
    chosen = {ids[row] for row in logged_rows(len(ids)).tolist()}
    rows = take_samples(images, support_split(images, shots), chosen)
    return support_of(rows, shots, len(cache.summary["classes"]))
