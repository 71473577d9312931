"""The order in which a pool is best labelled: what the adapter does not know, and nothing twice.

    d_i = 1 - max_j cos(f_i - c, f_j - c)      over the labelled and those picked before, c the mean of the pool
    next = argmax_i (1 - (p_i1 - p_i2)) d_i    p_i1, p_i2 the two largest probabilities of image i

The first factor is the margin between the two best classes; the second keeps a batch from asking the same question many times. CLIP's
features all point one way, so distances are taken around their mean. What is identical to an image that is labelled or picked comes last.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xmap.store.formats.tables import Array

CHUNK = 4096
# Cosines of float32 features this near to 1 are those of one image.
SAME = 1e-5


@dataclass(frozen=True)
class ScoredPool:
    """Unlabelled images, and what is labelled already.

    `features` (P, C) unit float32; `probabilities` (P, N) calibrated; `image_probabilities` and `text_probabilities` (P, N) what each
    cache alone would say, None for a method without caches; `labelled` (L, C) unit float32, L may be 0.
    """

    features: Array
    probabilities: Array
    image_probabilities: Array | None
    text_probabilities: Array | None
    labelled: Array


def order(pool: ScoredPool, n: int, seed: int) -> Array:
    """The rows (min(n, P),) int64 of the pool to label, best first; `seed` decides among equals."""
    # Equals are met in an order of the seed's.
    met = np.random.default_rng(seed).permutation(len(pool.features))
    center = pool.features.mean(axis=0, dtype=np.float64)
    features, unsure = directions(pool.features, center), unsureness(pool.probabilities)
    distance = 1.0 - nearest(features, directions(pool.labelled, center))
    left, picked = np.ones(len(met), bool), []
    for _ in range(min(n, len(met))):
        # What is there already comes after all else, the less sure of it first.
        worth = np.where(distance > SAME, unsure * distance, unsure - 2.0)
        best = int(met[np.where(left, worth, -np.inf)[met].argmax()])
        picked.append(best)
        left[best] = False
        distance = np.minimum(distance, 1.0 - features @ features[best])
    return np.asarray(picked, np.int64)


def unsureness(probabilities: Array) -> Array:
    """One minus the margin between the two largest of the probabilities (P, N): (P,), 0 for an image that is quite sure, 1 for a tie."""
    second, first = np.partition(probabilities, (-2, -1), axis=1)[:, -2:].astype(np.float64).T
    return np.asarray(1.0 - (first - second))


def directions(features: Array, center: Array) -> Array:
    """Unit vectors (P, C) float32 from the center (C,) to the features (P, C); zero for one that lies there."""
    away = features - center.astype(np.float32)
    away /= np.linalg.norm(away, axis=1, keepdims=True).clip(min=1e-12)
    return np.asarray(away)


def nearest(features: Array, labelled: Array) -> Array:
    """The cosine (P,) to the nearest of the labelled (L, C); -1 where there are none."""
    found = np.full(len(features), -1.0)
    for start in range(0, len(labelled), CHUNK):
        for first in range(0, len(features), CHUNK):
            part = slice(first, first + CHUNK)
            found[part] = np.maximum(found[part], (features[part] @ labelled[start : start + CHUNK].T).max(axis=1))
    return found
