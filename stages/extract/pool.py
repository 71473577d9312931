"""Features of images that are in no data set: their rows lie in the store by content, and no artifact names them.

So they cost nothing once such an image is labelled and part of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xmap.stages.datasets.dataset import Samples, known_contents
from xmap.stages.extract.identity import ExtractSpec
from xmap.stages.extract.work import keep_rows, say_bad
from xmap.stages.workplace.place import Workplace
from xmap.store.artifacts.locks import at_work
from xmap.store.formats.feature_rows import digest_keys
from xmap.store.formats.features import ErrorRow
from xmap.store.formats.tables import Array


@dataclass(frozen=True)
class PoolFeatures:
    """The `samples` that are images, their raw features (n, C), and those that are none."""

    samples: Samples
    features: Array
    bad: Sequence[ErrorRow]


def pool_features(workplace: Workplace, spec: ExtractSpec) -> PoolFeatures:
    """The plain features of a pool, of which those that the store lacks are encoded and kept. Raises `InputError`, as an extraction."""
    with at_work(workplace.store.root):
        kept = keep_rows(workplace, spec)
        say_bad(list(kept.bad.values()), spec.dataset, workplace.progress)
        good = np.setdiff1d(np.arange(len(spec.dataset.samples)), np.asarray(list(kept.bad), np.int64))
        samples = spec.dataset.samples.take(good)
        contents = known_contents(samples)
        features = kept.library.plain.gather(digest_keys(contents, np.zeros(len(contents), np.int64)))
    return PoolFeatures(samples, features, list(kept.bad.values()))
