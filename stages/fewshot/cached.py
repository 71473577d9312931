"""What the rows of a cache are, as they lie in the store. No torch here: an ONNX file names its neighbours without it."""

from __future__ import annotations

import numpy as np

from xmap.stages.datasets.classes.shared_names import told_apart
from xmap.store.artifacts.artifact import Artifact
from xmap.store.errors import ArtifactDamaged
from xmap.store.formats.log import Values, read_values

VALUES = "values.parquet"


def more_texts_file(number: int) -> str:
    """The file of the class texts of an encoder beside the first, numbered from 2, where it has a text tower."""
    return f"texts-{number}.parquet"


def read_cached(cache: Artifact) -> Values:
    """Its rows: sorted by class, and named as its classes are. Raises `ArtifactDamaged`."""
    classes = [str(name) for name in cache.summary["classes"]]
    values = read_values(cache.file(VALUES))
    labels, total = values.labels.astype(np.int64), len(classes)
    if (np.diff(labels) < 0).any() or ((labels < 0) | (labels >= total)).any():
        raise ArtifactDamaged(cache.path / VALUES, f"its labels are not those of {total} classes in order", cache.remedy)
    # Caches of an older xmap may have one name twice.
    known = {*enumerate(classes), *enumerate(told_apart(classes))}
    if not set(zip(labels.tolist(), values.class_names, strict=True)) <= known:
        raise ArtifactDamaged(cache.path / VALUES, "its class names are not those of the cache", cache.remedy)
    return values
