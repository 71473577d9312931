"""Artifacts as bytes: what was packed is what is laid out, and what was left out is missing when it is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from xmap.store.artifacts.artifact import Artifact, Draft, Store
from xmap.store.artifacts.identity import Identity
from xmap.store.artifacts.parcel import lay_out, pack, take_in
from xmap.store.disk.files import make_folder, write_bytes
from xmap.store.errors import ArtifactDamaged

WHAT = Identity("adapter", "pets", {"seed": 1})


def made(store: Store) -> Artifact:
    with store.build(WHAT) as draft:
        assert isinstance(draft, Draft)
        make_folder(draft.path / "affinity")
        write_bytes(draft.path / "affinity" / "train.parquet", b"log")
        write_bytes(draft.path / "test-00000.parquet", b"secret")
        return draft.commit({"method": "mine"})


def test_a_parcel_is_the_artifact(tmp_path: Path) -> None:
    original = made(Store(tmp_path / "a"))
    again = lay_out(pack(original), Store(tmp_path / "b"))
    assert again.manifest == original.manifest
    assert again.verify() == []
    assert again.path.relative_to(tmp_path / "b") == original.path.relative_to(tmp_path / "a")


def test_what_was_left_out_is_missing(tmp_path: Path) -> None:
    again = lay_out(pack(made(Store(tmp_path / "a")), lambda name: not name.startswith("test-")), Store(tmp_path / "b"))
    assert again.file("affinity/train.parquet").read_bytes() == b"log"
    with pytest.raises(ArtifactDamaged, match="it is missing"):
        again.file("test-00000.parquet")


def test_a_parcel_is_taken_in_once(tmp_path: Path) -> None:
    parcel, store = pack(made(Store(tmp_path / "a"))), Store(tmp_path / "b")
    told: list[str] = []
    first = take_in(parcel, store, WHAT, told.append)
    assert store.find(WHAT) == first
    assert take_in(parcel, store, WHAT, told.append).path == first.path
    with pytest.raises(ValueError, match="a parcel of pets-"):
        take_in(parcel, store, Identity("adapter", "pets", {"seed": 2}), told.append)
    assert told == []


def test_a_damaged_artifact_is_not_packed(tmp_path: Path) -> None:
    original = made(Store(tmp_path / "a"))
    (original.path / "test-00000.parquet").write_bytes(b"cut")
    with pytest.raises(ArtifactDamaged, match="3 bytes"):
        pack(original)
