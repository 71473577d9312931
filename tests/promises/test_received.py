"""What somebody sends, a store or an exported adapter, is read as data: no link of it is followed, nothing in it is waited for or run."""

from __future__ import annotations

import json
import os
import shutil
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from store.artifact import Store
from store.errors import ArtifactDamaged
from store.files import write_bytes
from tests.faults import Case
from tests.promises.conftest import ROOT, Commands
from tests.promises.worlds import DATA, MODEL, RUN
from tests.store.test_artifact import make


@dataclass(frozen=True)
class Sent:
    """What somebody sends: a store with all that a run leaves, and an adapter exported from it. Not to be changed by tests."""

    store: Path
    adapter: Path
    image: Path


@pytest.fixture(scope="module")
def sent(commands: Commands, world: Path, tmp_path_factory: pytest.TempPathFactory) -> Sent:
    """A run whose images and model lie at absolute places, as the sender would choose them here."""
    folder = tmp_path_factory.mktemp("sent")
    argv = [str(world / word) if word == DATA else word.replace(f":{MODEL}", f":{world / MODEL}") for word in RUN]
    for words in (argv, ["export", str(folder / "adapter"), "--method", "tip-adapter"]):
        ended = commands(*words, cwd=folder, store=folder / "store")
        assert ended.code == 0, ended.stderr
    return Sent(folder / "store", folder / "adapter", next((world / DATA / "test").rglob("*.png")))


@pytest.fixture
def received(sent: Sent, tmp_path: Path) -> Sent:
    """A copy of it, and a folder to be in where nothing lies."""
    shutil.copytree(sent.store, tmp_path / "store")
    shutil.copytree(sent.adapter, tmp_path / "adapter")
    (tmp_path / "here").mkdir()
    shutil.copy(sent.image, tmp_path / "here" / "image.png")
    return Sent(tmp_path / "store", tmp_path / "adapter", tmp_path / "here" / "image.png")


# ---- what commands touch

# Python, its libraries and this package; what the system says of this process; places that lead nowhere. Beside them notes of xmap's own.
OWN = tuple(
    {str(ROOT), sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), *filter(None, sys.path)}
    | {"/proc/", "/sys/", "/dev/null", "/dev/urandom", os.path.join(tempfile.gettempdir(), "xmap-")}
)

TOUCHING = {
    "predict": ["predict", "IMAGE", "--adapter", "ADAPTER"],
    "predict, explained": ["predict", "IMAGE", "--adapter", "ADAPTER", "--explain", "--json"],
    "verify": ["verify", "--store", "STORE"],
    "verify an adapter": ["verify", "--store", "ADAPTER"],
    "show": ["show", "NAME", "--store", "STORE"],
    "sql": ["sql", "select sample_id, predicted_name from predictions", "--store", "STORE"],
    "sql on an adapter": ["sql", "from artifacts", "--store", "ADAPTER", "--json"],
    "report": ["report", "--store", "STORE", "-o", "report.html"],
    "export": ["export", "exported", "--method", "tip-adapter", "--store", "STORE"],
    "status": ["status", "--store", "STORE"],
    "diff": ["diff", "NAME", "NAME", "--store", "STORE"],
}


@pytest.mark.promise
@pytest.mark.failure("received folder")
def test_nothing_received_is_run_and_nothing_outside_it_is_touched(commands: Commands, received: Sent, case: Case) -> None:
    here = received.image.parent
    places = {"IMAGE": str(received.image), "STORE": str(received.store), "ADAPTER": str(received.adapter)}
    places["NAME"] = next((received.store / "eval").iterdir()).name
    allowed = (*OWN, os.environ["XDG_STATE_HOME"], str(here), str(received.store), str(received.adapter))
    for name, argv in TOUCHING.items():
        with case():
            ended = commands(*(places.get(word, word) for word in argv), cwd=here, store=here / "none", fault=("watch", 0))
            *said, seen = ended.stderr.splitlines()
            assert ended.code == 0, said
            outside = [(event, what) for event, what in json.loads(seen) if not what.startswith(allowed)]
            assert outside == [], name
            assert len(json.loads(seen)) > 0


# ---- links, FIFOs, devices


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
