"""Looking after feature rows that artifacts share: what is wrong with them, which may go, and which no data set has.

A pack lives while a row of it is one that image features refer to.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xmap.stages.names import IMAGES
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.locks import SHARED
from xmap.store.artifacts.manifest import MANIFEST
from xmap.store.errors import ArtifactDamaged
from xmap.store.formats.feature_rows import KEY
from xmap.store.formats.packs import MAKER, PACK, Packs, all_packs, is_whole, pack_keys
from xmap.store.formats.samples import referred_rows
from xmap.store.formats.tables import Array

# The blake3 of an image's bytes, as a number to sort by.
CONTENT = np.dtype("S32")
STRAY = "no file of feature rows"


def wrong(
    store: Store, read: Collection[Path] | None = None, advance: Callable[[int], object] = lambda files: None
) -> list[ArtifactDamaged]:
    """What is damaged: files of rows (all, or those to `read`) whose bytes are others than were written, what does not belong beside any,
    and image features whose rows are not there. `advance` hears of each file of rows that was read.
    """
    images = [artifact for artifact in store.artifacts(IMAGES) if referred(artifact)]
    damaged: list[ArtifactDamaged] = []
    told: set[Path] = set()
    for packs in all_packs(store):
        for path in (path for path in packs.files() if read is None or path in read):
            if not is_whole(packs, path) and os.path.lexists(path):
                hit = [artifact for artifact in images if packs.name in referred(artifact) and _uses(artifact, packs, path)]
                told.update(artifact.path for artifact in hit)
                damaged.append(_altered(path, hit))
            advance(1)
    if (store.root / SHARED).is_symlink():
        damaged.append(ArtifactDamaged(store.root / SHARED, "it is a link, not a folder", "delete it."))
    damaged += [ArtifactDamaged(path, f"it is {STRAY}", "delete it: nothing is made from it.") for path in strays(store)]
    for artifact in images:
        lost = 0 if artifact.path in told else _lost(artifact)
        if lost and (artifact.path / MANIFEST).exists():
            problem = f"{lost:,} rows of features that it refers to are not there"
            damaged.append(ArtifactDamaged(artifact.path, problem, f"delete {artifact.path / MANIFEST} and {artifact.again}."))
    return damaged


def strays(store: Store) -> Iterator[Path]:
    """What lies among the feature rows and is none: files, links, FIFOs, folders. Hidden files are their owners'."""
    shared = store.root / SHARED
    for path in _below(shared):
        if not (MAKER.fullmatch(path.name) and _is_folder(path)):
            yield path
            continue
        # What stands under a pack's name is told as an altered one.
        yield from (inner for inner in _below(path) if not PACK.fullmatch(inner.name))


def removable(stray: Path) -> bool:
    """Whether nothing of anybody's is lost but the thing itself: no folder that has something in it."""
    with suppress(OSError):
        return not (_is_folder(stray) and any(stray.iterdir()))
    return False


def _below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if _is_folder(folder) else []


def _is_folder(path: Path) -> bool:
    """Whether it is a folder itself, and no link to one."""
    with suppress(OSError):
        return stat.S_ISDIR(os.lstat(path).st_mode)
    return False


def _uses(images: Artifact, packs: Packs, path: Path) -> bool:
    """Whether image features refer to a row of an altered pack, or may: one that cannot be read may hold any row."""
    if path not in packs.paths():
        return False
    try:
        keys = _keys(packs, path)
        return any(found == packs and (keys is None or np.isin(keys, rows).any()) for found, rows in referred_rows(images))
    except ArtifactDamaged:
        return False


def _lost(images: Artifact) -> int:
    """How many rows that image features refer to are not there. Damage of their own tables is told elsewhere."""
    try:
        return sum(int((~packs.has(keys)).sum()) for packs, keys in referred_rows(images))
    except ArtifactDamaged:
        return 0


@dataclass
class _Stored:
    """The rows of a maker's readable packs, each once and sorted, where in them those of each pack are, and which are referred to."""

    packs: Packs
    rows: Array
    places: Mapping[Path, Array]
    used: Array

    @classmethod
    def of(cls, packs: Packs) -> _Stored:
        keys = {path: found for path in packs.paths() if (found := _keys(packs, path)) is not None}
        rows, places = np.unique(np.concatenate([np.empty(0, KEY), *keys.values()]), return_inverse=True)
        parts = np.split(places, np.cumsum([len(found) for found in keys.values()])[:-1])
        return cls(packs, rows, dict(zip(keys, parts, strict=False)), np.zeros(len(rows), bool))


def idle(store: Store, kept: Sequence[Artifact]) -> Iterator[Path]:
    """The files of feature rows that none of the image features `kept` refers to; none where it cannot be told what these refer to."""
    stored = {packs.name: _Stored.of(packs) for packs in all_packs(store)}
    named = set()
    try:
        for packs, keys in (rows for artifact in kept for rows in referred_rows(artifact)):
            named.add(packs.name)
            if packs.name in stored:
                _mark(stored[packs.name].rows, stored[packs.name].used, keys)
    except ArtifactDamaged:
        return
    for name, rows in stored.items():
        unneeded = (path for path, places in rows.places.items() if not rows.used[places].any())
        yield from unneeded if name in named else rows.packs.files()


def unused(store: Store) -> int:
    """How many images have features in the store and are in no data set; the view `unused` lists them."""
    packs = [(packs, path) for packs in all_packs(store) for path in packs.paths()]
    contents = [np.unique(_contents(keys)) for found in packs if (keys := _keys(*found)) is not None]
    stored = np.unique(np.concatenate([np.empty(0, CONTENT), *contents]))
    used = np.zeros(len(stored), bool)
    for artifact in store.artifacts(IMAGES):
        with suppress(ArtifactDamaged):
            for _, keys in referred_rows(artifact):
                _mark(stored, used, _contents(keys))
    return int((~used).sum())


def _mark(rows: Array, used: Array, keys: Array) -> None:
    """Mark those of the sorted rows that are among the keys."""
    if len(rows):
        places = np.searchsorted(rows, keys).clip(max=len(rows) - 1)
        used[places[rows[places] == keys]] = True


def _contents(keys: Array) -> Array:
    """The contents of rows (R,)."""
    return np.ascontiguousarray(keys.view(np.uint8).reshape(-1, KEY.itemsize)[:, : CONTENT.itemsize]).view(CONTENT).reshape(-1)


def _keys(packs: Packs, path: Path) -> Array | None:
    """What the rows of a pack are found by; None where it cannot be read, of which `xmap verify` says what is to be done."""
    with suppress(ArtifactDamaged):
        return pack_keys(packs, path)
    return None


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
