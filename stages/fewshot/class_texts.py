"""The rows of a texts artifact, as they lie in the store. No torch here: a report shows prompts without it."""

from __future__ import annotations

from xmap.store.artifacts.artifact import Artifact
from xmap.store.errors import ArtifactDamaged
from xmap.store.formats.features import TextFeatures, read_texts

TEXTS = "texts.parquet"
# In the summary: how many sentences describe the classes, where any do. Rows whose template has no {} are those.
SENTENCES = "sentences"


def read_class_texts(texts: Artifact) -> TextFeatures:
    """One row a class and template. Raises `ArtifactDamaged` when a class has none."""
    rows, classes = read_texts(texts.file(TEXTS)), len(texts.summary["classes"])
    if set(rows.class_ids.tolist()) != set(range(classes)):
        raise ArtifactDamaged(texts.path / TEXTS, f"its rows are not of the {classes} classes", texts.remedy)
    return rows
