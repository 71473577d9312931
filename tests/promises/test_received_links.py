"""What of a received store is no plain file, or is reached through a link, is damaged: never followed, waited for or built through."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.worlds.artifacts import make
from tests.worlds.unplain import put
from xmap.store.artifacts.artifact import Store
from xmap.store.disk.files import write_bytes
from xmap.store.errors import ArtifactDamaged, NotPlain


@pytest.mark.failure("received folder")
@pytest.mark.parametrize("place", ["b.json", "affinity/c.safetensors", "manifest.json"])
@pytest.mark.parametrize("kind", ["a FIFO", "a link", "a device", "a folder"])
def test_what_is_no_plain_file_is_damaged_and_never_waited_for(tmp_path: Path, kind: str, place: str) -> None:
    path = make(tmp_path / "store").path / place
    path.rename(tmp_path / "moved")
    put(kind, path, tmp_path / "moved")
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


@pytest.mark.failure("received folder")
@pytest.mark.parametrize("where", ["STAGE", "STAGE/NAME", "STAGE/NAME/affinity", "STAGE/NAME/a.bin", "STAGE/NAME/affinity/c.safetensors"])
def test_nothing_is_built_through_a_link(tmp_path: Path, where: str) -> None:
    """What is to be built here, and so where, anybody can tell who knows the settings."""
    made = make(tmp_path / "other")
    place = tmp_path / "store" / where.replace("STAGE", made.stage).replace("NAME", made.path.name)
    place.parent.mkdir(parents=True)
    (tmp_path / "victim").mkdir()
    place.symlink_to(tmp_path / "victim")
    with pytest.raises(NotPlain, match="it is a link"):
        make(tmp_path / "store")
    assert os.listdir(tmp_path / "victim") == []
