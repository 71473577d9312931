"""A small artifact of three files of three kinds, and manifests sealed as an attacker would seal them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
from blake3 import blake3

from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.identity import Identity
from xmap.store.artifacts.manifest import MANIFEST
from xmap.store.disk.files import make_folder, write_bytes
from xmap.store.formats.tables import write_table
from xmap.store.formats.tensors import write_tensors

IDENTITY = Identity("demo", "pets", {"shots": 4}, {"images": "ab" * 32}, command="xmap demo")


def fill(folder: Path) -> None:
    """Three files of three kinds, one in a folder of its own."""
    write_table(folder / "a.parquet", pa.table({"x": np.arange(1000)}), IDENTITY.fingerprint)
    write_bytes(folder / "b.json", b"{}")
    make_folder(folder / "affinity")
    write_tensors(folder / "affinity" / "c.safetensors", {"w": np.ones(10, np.float32)}, {})


def make(root: Path, identity: Identity = IDENTITY) -> Artifact:
    with Store(root).build(identity) as draft:
        if isinstance(draft, Artifact):
            return draft
        fill(draft.path)
        return draft.commit({"rows": 1000})


def data_of(artifact: Artifact) -> dict[str, bytes]:
    """All that is under the folder, except the manifest, which holds times."""
    files = [path for path in artifact.path.rglob("*") if path.is_file() and path.name != MANIFEST]
    return {path.relative_to(artifact.path).as_posix(): path.read_bytes() for path in files}


def seal_again(manifest: object) -> bytes:
    """A manifest as an attacker would write it: the seal fits."""
    if isinstance(manifest, dict):
        manifest = {**manifest, "checksum": ""}
        manifest = {"checksum": manifest.pop("checksum"), **manifest}
    data = json.dumps(manifest).encode()
    return data.replace(b'"checksum": ""', b'"checksum": "%s"' % blake3(data).hexdigest().encode(), 1)
