"""Tensors on disk: safetensors, never pickle.

Metadata is one JSON string under one key, because safetensors writes several keys in no fixed order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from xmap.store.artifacts.fingerprint import Json
from xmap.store.disk.files import write_bytes
from xmap.store.disk.headers import require_header
from xmap.store.errors import ArtifactDamaged, require_of_file
from xmap.store.formats.tables import REMEDY, Array, first_line

KEY = "xmap"


def write_tensors(path: Path, tensors: Mapping[str, Array], metadata: Mapping[str, Json]) -> None:
    """Write named arrays and their metadata; equal contents give equal bytes."""
    ordered = {name: np.asarray(tensors[name], order="C") for name in sorted(tensors)}
    write_bytes(path, save(ordered, {KEY: json.dumps(metadata, sort_keys=True)}))


def read_tensors(path: Path) -> tuple[dict[str, Array], dict[str, Json]]:
    """The arrays and the metadata of a file. Raises `ArtifactDamaged`."""
    try:
        require_header(path)
        with safe_open(path, framework="np") as file:
            metadata = json.loads((file.metadata() or {}).get(KEY, "{}"))
            names: list[str] = file.keys()
            return {name: file.get_tensor(name) for name in names}, metadata
    except (SafetensorError, ValueError, TypeError, RecursionError, OSError) as error:
        require_of_file(path, error)
        raise ArtifactDamaged(path, first_line(error), REMEDY) from error
