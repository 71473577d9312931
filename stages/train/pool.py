"""The pool of a training: images without labels from the store, but for those that somebody has labelled, and never a test image.

An image is known by its content, a vector that others extracted by its direction. No torch until a pool is read: plans ask here too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from blake3 import blake3

from xmap.stages.datasets.dataset import TEST
from xmap.stages.names import POOL
from xmap.stages.train.identity import PoolSpec
from xmap.store.artifacts.artifact import Artifact
from xmap.store.artifacts.fingerprint import Json
from xmap.store.errors import InputError
from xmap.store.formats.plain_rows import plain_rows
from xmap.store.formats.samples import contents_of, makers_of, tables_of
from xmap.store.formats.tables import Array
from xmap.store.memory.hashes import DIGEST

if TYPE_CHECKING:
    from xmap.stages.fewshot.pool import Pool
    from xmap.stages.methods.protocol import Fitted

CHUNK = 1 << 14
# Steps of a direction's components: coarse beside the last bits of float32, fine beside what tells images apart.
FINE = 1e4
# The cosine from which two vectors are one, in whatever number format each was kept: float16 leaves 1 - 1e-8, bfloat16 1 - 1e-6.
SAME = 1.0 - 1e-5
# Rows that are compared at once, and coordinates that tell most of them apart before all are compared.
BLOCK, FEW = 1 << 10, 32


def of_test(name: str) -> bool:
    """Whether a table of image features holds test images."""
    return name.startswith(f"{TEST}-")


def of_labelled(name: str) -> bool:
    """Whether it holds images whose labels may be learned from."""
    return not (of_test(name) or name.startswith(f"{POOL}-"))


def of_pool(images: Artifact) -> Callable[[str], bool]:
    """Which tables of image features are a pool: its rows without labels, else all but the test images."""
    own = bool(dict(images.summary.get("counts") or {}).get(POOL))
    return lambda name: name.startswith(f"{POOL}-") if own else not of_test(name)


def known_by(images: Artifact, wanted: Callable[[str], bool]) -> Array:
    """What the images in the `wanted` tables are known by (n,), 32 bytes each: contents, of vectors digests. Raises `ArtifactDamaged`."""
    vectors = [path for path in tables_of(images, wanted) if not makers_of(path)]
    digests = (_digests(rows.features) for rows in plain_rows(vectors, CHUNK))
    return np.concatenate([contents_of(images, wanted), *digests])


def count_among(known: Array, tested: Array) -> int:
    """How many of the images `known` by their contents are among the `tested` ones."""
    return int(np.isin(known[known != b""], tested).sum())


def count_pointing(pool: Artifact, images: Artifact) -> int:
    """How many vectors of a pool point where a test vector of `images` does; images that are known by their contents do not count.

    Raises `ArtifactDamaged`.
    """
    ours, tested = (
        [path for path in tables_of(found, wanted) if not makers_of(path)] for found, wanted in ((pool, of_pool(pool)), (images, of_test))
    )
    count = 0
    for part in plain_rows(ours, CHUNK) if tested else ():
        units, found = _unit(part.features), np.zeros(len(part), bool)
        for others in plain_rows(tested, CHUNK):
            if others.features.shape[1] == units.shape[1]:
                found |= _points_alike(units, _unit(others.features))
        count += int(found.sum())
    return count


def _unit(features: Array) -> Array:
    found = features.astype(np.float32)
    unit: Array = found / np.linalg.norm(found, axis=1, keepdims=True)
    return unit


def _points_alike(units: Array, others: Array) -> Array:
    """Which of unit vectors (n, C) float32 point where one of the others (m, C) does."""
    # Half the squared distance in the first coordinates, below 0, as one product: in all of them no two are nearer than in some.
    (ours, half), (theirs, their_half) = ((part, -0.5 * (part**2).sum(1)) for part in (units[:, :FEW], others[:, :FEW]))
    ours, theirs = np.column_stack([ours, half, np.ones_like(half)]), np.column_stack([theirs, np.ones_like(their_half), their_half])
    found = np.zeros(len(units), bool)
    for start in range(0, len(units), BLOCK):
        near = start + np.flatnonzero((ours[start : start + BLOCK] @ theirs.T).max(1) > 2 * (SAME - 1))
        found[near] = (units[near] @ others.T).max(1, initial=-1.0) >= SAME
    return found


def refuse_test_images(pool: str, count: int) -> None:
    """Raise `InputError` where so many images of a pool are test images, if any."""
    if count:
        them = "1 image is a test image" if count == 1 else f"{count:,} images are test images"
        raise InputError(
            f"{them} in the pool {pool!r}, which would then say nothing of new ones; take {'it' if count == 1 else 'them'} out."
        )


def read_pool(pool: Artifact, images: Artifact, classes: Sequence[str], spec: PoolSpec) -> tuple[Pool, int]:
    """The pool for a training on `images`, in an order that knows no names, and how many of its images are left out as labelled.

    Each content counts once. Raises `InputError` where none is left, and `ArtifactDamaged`.
    """
    import torch
    from torch.nn.functional import normalize

    from xmap.stages.fewshot.pool import Pool

    parts = list(plain_rows(tables_of(pool, of_pool(pool)), CHUNK))
    if not parts:
        raise InputError(f"the pool {pool.name!r} has no image that can be read; name another with --pool.")
    features = np.concatenate([part.features for part in parts]).astype(np.float32)
    known = np.concatenate([_digests(part.features) if part.contents is None else part.contents.astype(DIGEST) for part in parts])
    once, rows = np.unique(known, return_index=True)
    labelled = np.isin(once, known_by(images, of_labelled))
    if labelled.all():
        raise InputError(f"each image of the pool {pool.name!r} has a label already, in training or validation; name others with --pool.")
    given = None if spec.given is None else torch.tensor([spec.given[name] for name in classes], dtype=torch.float64)
    unit = normalize(torch.from_numpy(features[rows[~labelled]]), dim=-1)
    return Pool(unit, spec.shares, given), int(labelled.sum())


def pool_facts(pool: Pool, classes: Sequence[str], fitted: Fitted, spec: PoolSpec | None) -> dict[str, Json]:
    """What an adapter's manifest says of its pool: how many images, and the class shares that were believed in the end."""
    shares = fitted.tensors["pool_shares"].tolist()
    together: dict[str, Json] = {"together": True} if spec and spec.together else {}
    return {"images": len(pool), "shares": pool.shares, **together, "class_shares": dict(zip(classes, shares, strict=True))}


def _digests(features: Array) -> Array:
    """What vectors (n, C) are known by where no image is: where they point, rounded, so that most are the same at any length."""
    pointing = features.astype(np.float64) / np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
    return np.asarray([blake3(row.tobytes()).digest() for row in np.round(pointing * FINE).astype("<i4")], DIGEST)
