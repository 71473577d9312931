"""Artifacts as bytes, to be carried to a machine that does not see the store, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from xmap.store.artifacts.artifact import Artifact, Draft, Store, read_artifact
from xmap.store.artifacts.identity import Identity
from xmap.store.artifacts.manifest import MANIFEST
from xmap.store.disk.files import make_folder, write_bytes


@dataclass(frozen=True)
class Parcel:
    """An artifact: its stage, its folder's name, and the bytes of its files, those that were left out excepted."""

    stage: str
    folder: str
    manifest: bytes
    files: Mapping[str, bytes]


def pack(artifact: Artifact, wanted: Callable[[str], bool] = lambda name: True) -> Parcel:
    """The artifact with those of its files whose names are `wanted`. Raises `ArtifactDamaged` for a file that is not whole."""
    names = [str(entry["name"]) for entry in artifact.manifest["files"]]
    files = {name: artifact.file(name).read_bytes() for name in names if wanted(name)}
    return Parcel(artifact.stage, artifact.path.name, (artifact.path / MANIFEST).read_bytes(), files)


def lay_out(parcel: Parcel, store: Store) -> Artifact:
    """Put the parcel into a store that nobody else uses. A file that was left out is missing there when it is asked for."""
    folder = store.root / parcel.stage / parcel.folder
    for name, data in parcel.files.items():
        make_folder((folder / name).parent)
        write_bytes(folder / name, data)
    write_bytes(folder / MANIFEST, parcel.manifest)
    return read_artifact(folder)


def take_in(parcel: Parcel, store: Store, identity: Identity, on_wait: Callable[[str], None]) -> Artifact:
    """Keep a whole parcel as the artifact of `identity`, unless another process has built it meanwhile.

    Raises `ValueError` for a parcel of something else.
    """
    with store.build(identity, on_wait) as held:
        if isinstance(held, Draft):
            if (parcel.stage, parcel.folder) != (identity.stage, identity.folder):
                raise ValueError(f"a parcel of {parcel.folder}, not of {identity.folder}")
            return lay_out(parcel, store)
        return held
