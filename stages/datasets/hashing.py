"""The content hash of every image of a dataset, by its place: what fingerprints and shards are made of."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from stages.datasets.places import Cell, Member, Place
from store.hashes import HashMemory


def hash_places(places: Iterable[Place], memory: HashMemory) -> dict[Place, str]:
    """The blake3 of each image that can be read. Files are read unless `memory` knows them; a listing of a tar or table told the rest."""
    files: list[Path] = []
    hashes: dict[Place, str] = {}
    for place in places:
        if isinstance(place, Path):
            files.append(place)
        elif isinstance(place, Member | Cell) and place.content is not None:
            hashes[place] = place.content
    hashes.update(memory.hash_files(files).items())
    return hashes
