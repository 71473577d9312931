"""Every reader of a store's files, each with a file of a frozen store that it reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from xmap.pipeline.upkeep.collect import waste
from xmap.pipeline.upkeep.lineage import Lineage
from xmap.stages.config import DataConfig
from xmap.stages.datasets.open import open_dataset
from xmap.store.artifacts.artifact import Store, read_artifact
from xmap.store.errors import XmapError
from xmap.store.formats.features import read_errors, read_images, read_texts
from xmap.store.formats.index import VectorIndex
from xmap.store.formats.log import read_values
from xmap.store.formats.tables import read_footer, read_table
from xmap.store.formats.tensors import read_tensors
from xmap.store.sql.connection import connect

FROZEN = Path(__file__).resolve().parents[1] / "data" / "v1" / "store"
Reader = Callable[[Path], object]


def found(pattern: str) -> Path:
    return next(FROZEN.glob(pattern))


def features(path: Path) -> None:
    rows = read_images([path])
    assert rows.features.ndim == 2
    assert len(rows.features) == len(rows.labels) == len(rows.views) == len(rows)


def texts(path: Path) -> None:
    rows = read_texts(path)
    assert len(rows.features) == len(rows.class_ids) == len(rows.class_names)


def index(path: Path) -> None:
    """As it is loaded below `MAPPED_FROM`; faiss checks nothing of what it maps, there the manifest's sizes and `verify` stand."""
    loaded = VectorIndex.load(path)
    if len(loaded):
        loaded.search(np.ones((2, loaded.width), np.float32), 3)
        loaded.keys()


def manifest(path: Path) -> None:
    """All that is done with manifests, in a store of this one artifact."""
    artifact = read_artifact(path.parent)
    artifact.verify()
    everything(path.parent.parent.parent)


def everything(root: Path) -> None:
    survey = Store(root).survey()
    assert all(isinstance(error, XmapError) for error in survey.damaged.values())
    waste(Store(root))
    lineage = Lineage.of(survey.artifacts)
    assert all(lineage.branch(artifact) is None for artifact in survey.artifacts if not lineage.parents(artifact))
    with connect(root) as connection:
        for view in ("samples", "affinity", "predictions", "artifacts", "runs", "neighbors"):
            connection.query(f"SELECT * FROM {view}")  # noqa: S608


def dataset(path: Path) -> None:
    open_dataset(DataConfig(data=str(path)))


# What is changed, and who reads it.
READERS: dict[str, tuple[Path, Reader]] = {
    "image features": (found("images/*/train-00000.parquet"), features),
    "footer": (found("images/*/train-00000.parquet"), read_footer),
    "text features": (found("texts/*/texts.parquet"), texts),
    "bad images": (found("images/*/errors.parquet"), read_errors),
    "cache rows": (found("cache/*/values.parquet"), read_values),
    "affinity log": (found("eval/*/affinity/test.parquet"), read_table),
    "predictions": (found("eval/*/predictions.parquet"), read_table),
    "index": (found("cache/*/image.faiss"), index),
    "adapter": (found("adapter/*xmadapter*/adapter.safetensors"), read_tensors),
    "manifest": (found("images/*/manifest.json"), manifest),
}


def refuses_or_reads(read: Reader, path: Path, data: bytes) -> None:
    path.write_bytes(data)
    try:
        read(path)
    except XmapError as error:
        assert "\n" not in str(error)  # noqa: PT017
