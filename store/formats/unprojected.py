"""What a text tower gives before its projection: a row of features for each prompt, and the projection itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xmap.store.errors import ArtifactDamaged
from xmap.store.formats.tables import REMEDY, Array
from xmap.store.formats.tensors import read_tensors, write_tensors

UNPROJECTED = "projection.safetensors"
KINDS = [("int32", 1), ("float32", 2), ("float32", 2)]


@dataclass(frozen=True)
class Unprojected:
    """Of each prompt its class, `class_ids` (R,) int32, and raw `features` (R, E) float32; and the `projection` (E, C) float32."""

    class_ids: Array
    features: Array
    projection: Array


def write_unprojected(path: Path, rows: Unprojected) -> None:
    """Write them as one file of tensors."""
    write_tensors(path, {name: np.asarray(values) for name, values in vars(rows).items()}, {})


def read_unprojected(path: Path) -> Unprojected:
    """Read them. Raises `ArtifactDamaged` where they do not fit each other or are no finite numbers."""
    tensors, _ = read_tensors(path)
    if tensors.keys() != Unprojected.__annotations__.keys():
        raise ArtifactDamaged(path, f"its tensors are {', '.join(sorted(tensors)) or 'none'}", REMEDY)
    rows = Unprojected(**tensors)
    kinds = [(str(values.dtype), values.ndim) for values in (rows.class_ids, rows.features, rows.projection)]
    if kinds != KINDS or 0 in rows.projection.shape:
        raise ArtifactDamaged(path, "its tensors have other shapes or types than it is written with", REMEDY)
    if rows.features.shape != (len(rows.class_ids), len(rows.projection)):
        raise ArtifactDamaged(path, "its rows do not fit its projection", REMEDY)
    if not (np.isfinite(rows.features).all() and np.isfinite(rows.projection).all()):
        raise ArtifactDamaged(path, "it holds numbers that are not finite", REMEDY)
    return rows
