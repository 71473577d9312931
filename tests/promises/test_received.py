"""What somebody sends, a store or an exported adapter, is read as data: no link of it is followed, nothing in it is waited for or run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from store.artifact import Store
from store.errors import ArtifactDamaged
from store.files import write_bytes
from tests.store.test_artifact import make


@pytest.mark.failure("received folder")
@pytest.mark.parametrize("place", ["b.json", "affinity/c.safetensors", "manifest.json"])
@pytest.mark.parametrize("kind", ["a FIFO", "a link", "a device", "a folder"])
def test_what_is_no_plain_file_is_damaged_and_never_waited_for(tmp_path: Path, kind: str, place: str) -> None:
    path = make(tmp_path / "store").path / place
    path.rename(tmp_path / "moved")
    if kind in ("a link", "a device"):
        path.symlink_to(tmp_path / "moved" if kind == "a link" else "/dev/zero")
    else:
        (os.mkfifo if kind == "a FIFO" else os.mkdir)(path)
    survey = Store(tmp_path / "store").survey()
    found = [str(error) for error in survey.damaged.values()]
    for artifact in survey.artifacts:
        found += [str(error) for error in artifact.verify()]
        with pytest.raises(ArtifactDamaged):
            artifact.read(place)
    assert len(found) == 1
    assert f"it is {'a link' if kind == 'a device' else kind}, not a file" in found[0]


@pytest.mark.failure("received folder")
@pytest.mark.parametrize("where", ["demo", "demo/NAME", "demo/NAME/affinity"])
def test_an_artifact_behind_a_link_is_not_read(tmp_path: Path, where: str) -> None:
    artifact = make(tmp_path / "store")
    write_bytes(tmp_path / "store" / "locks" / "x", b"")
    folder = tmp_path / "store" / where.replace("NAME", artifact.path.name)
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    survey = Store(tmp_path / "store").survey()
    found = [*survey.damaged.values(), *(error for artifact in survey.artifacts for error in artifact.verify())]
    assert len(found) == 1
    assert "it is reached through a link" in str(found[0])


def test_a_store_that_is_itself_reached_by_a_link_is_read(tmp_path: Path) -> None:
    make(tmp_path / "store")
    (tmp_path / "link").symlink_to(tmp_path / "store")
    assert [artifact.verify() for artifact in Store(tmp_path / "link").artifacts()] == [[]]
