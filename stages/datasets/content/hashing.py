"""The content hash of every image of a dataset, by its place: what fingerprints and shards are made of."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from blake3 import blake3

from xmap.stages.datasets.places.place import MAX_BYTES, Cell, Member, Place, Remote
from xmap.stages.datasets.places.remote import AHEAD, MISSING, RemoteError, open_remote, read_bytes
from xmap.store.memory.hashes import Folder, hash_folders
from xmap.store.memory.notes import Notes

# Remote files are waited for, not worked on.
AT_ONCE = 16
# So that an interrupted run goes on where it was.
REMEMBERED_AT_ONCE = 512


def hash_places(places: Iterable[Place], notes: Notes) -> dict[Place, str]:
    """The blake3 of each image that can be read; others are left out, extraction reports them.

    What `notes` know is not read; of tars and tables their listing told it. Raises `RemoteError` where a storage does not answer, or
    not to us.
    """
    files: dict[str, list[Path]] = {}
    remote: list[Remote] = []
    hashes: dict[Place, str] = {}
    for place in places:
        if isinstance(place, Path):
            files.setdefault(os.path.dirname(place), []).append(place)
        elif isinstance(place, Remote):
            remote.append(place)
        elif isinstance(place, Member | Cell) and place.content is not None:
            hashes[place] = place.content
    asked = [Folder(folder, [path.name for path in inside]) for folder, inside in files.items()]
    for inside, digests in zip(files.values(), hash_folders(asked, notes), strict=True):
        hashes.update((path, digest.hex()) for path, digest in zip(inside, digests.view("V32").tolist(), strict=True) if any(digest))
    hashes.update(_hash_remote(remote, notes))
    return hashes


def _hash_remote(places: Sequence[Remote], notes: Notes) -> dict[Place, str]:
    stamps = {_key(place): place.stamp for place in places}
    known = notes.recall(stamps)
    missing = [place for place in places if _key(place) not in known]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for start in range(0, len(missing), REMEMBERED_AT_ONCE):
            part = missing[start : start + REMEMBERED_AT_ONCE]
            fresh = {_key(place): digest for place, digest in zip(part, pool.map(_digest, part), strict=True) if digest is not None}
            notes.remember(stamps, fresh)
            known.update(fresh)
    return {place: known[_key(place)] for place in places if _key(place) in known}


def _key(place: Remote) -> str:
    return f"blake3 {place.url}"


def _digest(place: Remote) -> str | None:
    try:
        if place.size is not None and place.size <= AHEAD:
            return blake3(read_bytes(place)).hexdigest()
        # A web server that tells no length may never end: nothing beyond the limit is an image anyway.
        digest, left = blake3(), MAX_BYTES if place.size is None else place.size
        with open_remote(place) as file:
            while chunk := file.read(AHEAD):
                digest.update(chunk)
                left -= len(chunk)
                if left < 0:
                    return None
        return digest.hexdigest()
    except RemoteError as error:
        # With credentials that ran out half of the images would be called bad.
        if error.kind != MISSING:
            raise
        return None
