"""A process that may open no more files: what cannot be opened is not called damaged, nor gone."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.worlds.artifacts import IDENTITY, make
from xmap.store.artifacts.artifact import read_artifact
from xmap.store.errors import MachineRefused
from xmap.store.formats.feature_rows import Rows
from xmap.store.formats.index import VectorIndex
from xmap.store.formats.packs import Packs, is_whole
from xmap.store.formats.tables import read_footer, read_table, write_table
from xmap.store.formats.tensors import read_tensors, write_tensors
from xmap.store.memory.hashes import Folder, hash_folders
from xmap.store.memory.notes import Notes


@contextmanager
def no_more_files() -> Iterator[None]:
    """Every opening answers that too many files are open."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_no_reader_calls_damage_what_it_may_not_open(tmp_path: Path) -> None:
    artifact = make(tmp_path / "store")
    write_table(tmp_path / "a.parquet", pa.table({"x": [1.0]}), IDENTITY.fingerprint)
    write_tensors(tmp_path / "a.safetensors", {"w": np.zeros(2)}, {})
    VectorIndex.build(np.eye(4, dtype=np.float32)).save(tmp_path / "a.faiss")
    VectorIndex.load(tmp_path / "a.faiss")
    packs = Packs(tmp_path / "store", f"model-{'0' * 16}")
    pack = packs.write(Rows(["00" * 32], np.zeros(1, np.int16), np.zeros((1, 4), np.float32)))
    name = artifact.manifest["files"][0]["name"]
    readers: list[Callable[[], object]] = [
        lambda: read_artifact(artifact.path),
        lambda: artifact.read(name),
        artifact.verify,
        lambda: read_table(tmp_path / "a.parquet"),
        lambda: read_footer(tmp_path / "a.parquet"),
        lambda: read_tensors(tmp_path / "a.safetensors"),
        lambda: VectorIndex.load(tmp_path / "a.faiss"),
        lambda: is_whole(packs, pack),
        lambda: list(hash_folders([Folder(str(tmp_path), ["a.parquet"])], Notes())),
    ]
    for reader in readers:
        with no_more_files(), pytest.raises(MachineRefused, match="Too many open files") as caught:
            reader()
        assert "says nothing of the file" in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1
