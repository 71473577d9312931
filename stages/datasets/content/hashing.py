"""The content hash of every image of a dataset, by its place: what fingerprints and shards are made of."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from blake3 import blake3

from xmap.stages.datasets.dataset import Dataset
from xmap.stages.datasets.places.columns import Array, Files, Places, places_of
from xmap.stages.datasets.places.place import MAX_BYTES, Cell, Member, Remote
from xmap.stages.datasets.places.remote import AHEAD, MISSING, RemoteError, open_remote, read_bytes
from xmap.store.memory.hashes import DIGEST, Folder, hash_folders
from xmap.store.memory.notes import Notes

# Remote files are waited for, not worked on.
AT_ONCE = 16
# So that an interrupted run goes on where it was.
REMEMBERED_AT_ONCE = 512

# The blake3 of what lies at places: `DIGEST`, zeros for what cannot be read.
Contents = Callable[[Places], Array]


def with_contents(dataset: Dataset, contents: Contents) -> Dataset:
    """The data set with the contents of its samples, which are asked for once."""
    if dataset.samples.contents is not None:
        return dataset
    return replace(dataset, samples=replace(dataset.samples, contents=contents(dataset.samples.places)))


def hash_places(places: Places, notes: Notes) -> Array:
    """The blake3 of each image that can be read (n,) `DIGEST`; zeros for others, extraction reports them.

    What `notes` know is not read; of tars and tables their listing told it. Raises `RemoteError` where a storage does not answer, or
    not to us.
    """
    return _hash_files(places, notes) if isinstance(places, Files) else _hash_listed(places, notes)


def _hash_files(files: Files, notes: Notes) -> Array:
    found = np.zeros(len(files), DIGEST)
    folders = list(files.folders())
    asked = (
        Folder(os.path.join(files.root, folder), [path[len(folder) :] for path in files.paths[rows].tolist()]) for folder, rows in folders
    )
    for (_, rows), digests in zip(folders, hash_folders(asked, notes), strict=True):
        found[rows] = digests
    return found


def told(places: Places) -> Array:
    """The blake3 (n,) of those images of which a listing told it; zeros for others, which are not read."""
    if isinstance(places, Files):
        return np.zeros(len(places), DIGEST)
    listed = (places[row] for row in range(len(places)))
    hexadecimal = (place.content or "" if isinstance(place, Member | Cell) else "" for place in listed)
    return np.asarray([bytes.fromhex(content) for content in hexadecimal], DIGEST)


def _hash_listed(places: Places, notes: Notes) -> Array:
    found = told(places)
    local: list[int] = []
    remote: list[int] = []
    listed: list[Any] = [places[row] for row in range(len(places))]
    for row, place in enumerate(listed):
        if not isinstance(place, Member | Cell):
            (remote if isinstance(place, Remote) else local).append(row)
    files = places_of([listed[row] for row in local])
    found[local] = _hash_files(files, notes) if isinstance(files, Files) else _hash_odd(files, notes)
    for row, digest in zip(remote, _hash_remote([listed[row] for row in remote], notes), strict=True):
        found[row] = digest
    return found


def _hash_odd(files: Places, notes: Notes) -> Array:
    """The hashes of files whose names are bytes that are no text."""
    paths = (os.path.split(str(files[row])) for row in range(len(files)))
    return np.concatenate(list(hash_folders((Folder(folder, [name]) for folder, name in paths), notes)))


def _hash_remote(places: Sequence[Remote], notes: Notes) -> list[bytes]:
    stamps = {_key(place): place.stamp for place in places}
    known = notes.recall(stamps)
    missing = [place for place in places if _key(place) not in known]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for start in range(0, len(missing), REMEMBERED_AT_ONCE):
            part = missing[start : start + REMEMBERED_AT_ONCE]
            fresh = {_key(place): digest for place, digest in zip(part, pool.map(_digest, part), strict=True) if digest is not None}
            notes.remember(stamps, fresh)
            known.update(fresh)
    return [bytes.fromhex(known.get(_key(place), "")) for place in places]


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
