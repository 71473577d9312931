"""What another process removes meanwhile is not called damaged."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.worlds.faults import Case
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.manifest import MANIFEST
from xmap.store.artifacts.removed import explained
from xmap.store.errors import ArtifactDamaged, ArtifactRemoved, XmapError
from xmap.store.formats.features import read_images
from xmap.store.formats.index import VectorIndex
from xmap.store.formats.log import read_values
from xmap.store.formats.tensors import read_tensors
from xmap.store.sql.connection import connect

FROZEN = Path(__file__).resolve().parents[2] / "data" / "v1" / "store"
READS: dict[str, tuple[str, str, Callable[[Path], object]]] = {
    "image features": ("images", "train-00000.parquet", lambda path: read_images([path])),
    "cache rows": ("cache", "values.parquet", read_values),
    "index": ("cache", "image.faiss", VectorIndex.load),
    "tensors": ("adapter", "adapter.safetensors", read_tensors),
    "training log": ("adapter", "affinity/train.parquet", read_values),
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    shutil.copytree(FROZEN, tmp_path / "store")
    return Store(tmp_path / "store")


def first(store: Store, stage: str) -> Artifact:
    return store.artifacts(stage)[0]


@pytest.mark.failure("at once")
@pytest.mark.parametrize("name", READS)
def test_a_file_that_goes_between_its_name_and_its_reader_was_removed(store: Store, case: Case, name: str) -> None:
    stage, file, read = READS[name]
    artifact = first(store, stage)
    path = artifact.file(file)
    store.remove(artifact)
    with case(), pytest.raises(XmapError) as caught:
        read(path)
    assert isinstance(explained(caught.value), ArtifactRemoved)
    assert "was removed meanwhile" in str(explained(caught.value))


@pytest.mark.failure("at once")
@pytest.mark.parametrize("name", READS)
def test_a_file_that_is_missing_beside_its_manifest_is_damaged(store: Store, name: str) -> None:
    stage, file, read = READS[name]
    path = first(store, stage).file(file)
    path.unlink()
    with pytest.raises(ArtifactDamaged) as caught:
        read(path)
    assert explained(caught.value) is caught.value


@pytest.mark.failure("at once")
def test_a_query_on_what_was_removed_says_so(store: Store) -> None:
    with connect(store.root) as connection:
        store.remove(first(store, "images"))
        with pytest.raises(ArtifactRemoved, match="was removed meanwhile"):
            connection.query("from samples")


def test_an_artifact_asked_for_a_file_after_its_removal_was_removed(store: Store) -> None:
    artifact = first(store, "cache")
    store.remove(artifact)
    with pytest.raises(ArtifactDamaged) as caught:
        artifact.file("image.faiss")
    assert isinstance(explained(caught.value), ArtifactRemoved)
    assert not (artifact.path / MANIFEST).exists()


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "file/below"])
def test_what_cannot_be_looked_at_is_damaged_and_not_gone(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / MANIFEST).write_text("{}")
    damaged = ArtifactDamaged(f"{tmp_path}/{name}", "it is odd", "mend it.")
    assert explained(damaged) is damaged
