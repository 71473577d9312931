"""Looking after feature rows that artifacts share: what is wrong with them, and which may go.

A pack lives while a row of it is one that image features refer to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from xmap.stages.names import IMAGES
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.locks import SHARED
from xmap.store.artifacts.manifest import MANIFEST
from xmap.store.errors import ArtifactDamaged
from xmap.store.formats.packs import BAD, Packs, all_packs, altered, pack_keys
from xmap.store.formats.samples import referred_rows
from xmap.store.formats.tables import Array


def wrong(store: Store) -> list[ArtifactDamaged]:
    """What is damaged: files of rows whose bytes are others than were written, and image features whose rows are not there."""
    images = [artifact for artifact in store.artifacts(IMAGES) if referred(artifact)]
    damaged: list[ArtifactDamaged] = []
    told: set[Path] = set()
    for packs in all_packs(store):
        for path in altered(packs):
            hit = [artifact for artifact in images if packs.name in referred(artifact) and _uses(artifact, packs, path)]
            told.update(artifact.path for artifact in hit)
            damaged.append(_altered(path, hit))
    links = (folder for folder in (store.root / SHARED, *(store.root / SHARED).glob("*")) if folder.is_symlink())
    damaged += [ArtifactDamaged(folder, "it is a link, not a folder", "delete it.") for folder in links]
    for artifact in images:
        lost = 0 if artifact.path in told else _lost(artifact)
        if lost and (artifact.path / MANIFEST).exists():
            problem = f"{lost:,} rows of features that it refers to are not there"
            damaged.append(ArtifactDamaged(artifact.path, problem, f"delete {artifact.path / MANIFEST} and {artifact.again}."))
    return damaged


def _uses(images: Artifact, packs: Packs, path: Path) -> bool:
    """Whether image features refer to a row of an altered pack, or may: one that cannot be read may hold any row."""
    if path.name.startswith(BAD):
        return False
    try:
        return any(found == packs and _needed(packs, path, np.unique(keys)) for found, keys in referred_rows(images))
    except ArtifactDamaged:
        return False


def _lost(images: Artifact) -> int:
    """How many rows that image features refer to are not there. Damage of their own tables is told elsewhere."""
    try:
        return sum(int((~packs.has(keys)).sum()) for packs, keys in referred_rows(images))
    except ArtifactDamaged:
        return 0


def idle(store: Store, kept: Sequence[Artifact]) -> Iterator[Path]:
    """The files of feature rows that none of the image features `kept` refers to; none where it cannot be told what these refer to."""
    wanted: dict[str, list[Array]] = {}
    try:
        for artifact in kept:
            for packs, keys in referred_rows(artifact):
                wanted.setdefault(packs.name, []).append(keys)
    except ArtifactDamaged:
        return
    for packs in all_packs(store):
        needed = wanted.get(packs.name)
        if needed is None:
            yield from [*packs.paths(), *packs.paths(bad=True)]
        else:
            rows = np.unique(np.concatenate(needed))
            yield from (path for path in packs.paths() if not _needed(packs, path, rows))


def _needed(packs: Packs, path: Path, rows: Array) -> bool:
    """Whether a pack has one of the sorted rows, or cannot be read: `xmap verify` says what is to be done with it."""
    try:
        keys = pack_keys(packs, path)
    except ArtifactDamaged:
        return True
    return bool((rows[np.searchsorted(rows, keys).clip(max=len(rows) - 1)] == keys).any())


def referred(images: Artifact) -> Sequence[str]:
    """The makers of the rows that image features refer to; none for features of version 1 and for imported ones."""
    found = images.summary.get("features", ())
    return found if isinstance(found, list) else ()


def _altered(path: Path, images: Sequence[Artifact]) -> ArtifactDamaged:
    if not images:
        return ArtifactDamaged(path, "its bytes differ from those written", "delete it: nothing else is made from it.")
    manifests = ", ".join(str(artifact.path / MANIFEST) for artifact in images)
    again = ", and ".join(artifact.again for artifact in images)
    remedy = f"delete this file, {manifests}, and {again}: its images alone are encoded again."
    return ArtifactDamaged(path, "its bytes differ from those written", remedy)
