"""What somebody sends, a store or an exported adapter, is read as data: no link of it is followed, nothing in it is waited for or run."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
import sysconfig
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.promises.conftest import ROOT, Commands, Ended
from tests.worlds.exported import seal_export
from tests.worlds.faults import Case
from tests.worlds.runs import DATA, MODEL, RUN
from tests.worlds.side_files import hash_files
from tests.worlds.unplain import put
from xmap.store.artifacts.fingerprint import fingerprint
from xmap.store.artifacts.manifest import seal
from xmap.store.disk.files import hash_file
from xmap.store.memory.notes import TABLE, Notes


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


# ---- the encoder that comes with an adapter


def refused(ended: Ended, words: str) -> None:
    assert ended.code == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    assert words in " ".join(ended.stderr.split())


def predict(commands: Commands, received: Sent, *more: str) -> Ended:
    here = received.image.parent
    return commands("predict", str(received.image), "--adapter", str(received.adapter), *more, cwd=here, store=here / "none")


SWAPPED = ("open_clip_config.json", "open_clip_model.safetensors")


@pytest.mark.failure("received folder")
@pytest.mark.parametrize("kind", ["a FIFO", "a link", "a device", "a folder"])
def test_an_encoder_of_other_than_plain_files_is_refused(commands: Commands, received: Sent, kind: str, case: Case) -> None:
    for name in SWAPPED:
        path = received.adapter / "encoder" / name
        kept = path.rename(received.adapter / "kept")
        put(kind, path, kept)
        with case():
            refused(predict(commands, received), f"it is {'a link' if kind == 'a device' else kind}, not a file")
        path.rmdir() if kind == "a folder" else path.unlink()
        kept.rename(path)
    put(kind, received.adapter / "encoder" / "tokenizer.json", received.image)
    with case():
        refused(predict(commands, received), "not a file")


@pytest.mark.failure("received folder")
def test_an_encoder_behind_a_link_is_refused(commands: Commands, received: Sent) -> None:
    (received.adapter / "encoder").rename(received.adapter / "elsewhere")
    (received.adapter / "encoder").symlink_to("elsewhere")
    refused(predict(commands, received), "it is reached through a link")


@pytest.mark.failure("received folder")
def test_an_encoder_that_is_not_in_the_folder_is_fetched_from_nowhere(commands: Commands, received: Sent, world: Path) -> None:
    """The source that its manifests state is a place where the right one lies."""
    shutil.rmtree(received.adapter / "encoder")
    refused(predict(commands, received), "holds no encoder, and nothing is fetched because a received folder says so; name the one")
    named = predict(commands, received, "--model", f"local-dir:{world / MODEL}")
    assert named.code == 0, named.stderr


CONFIGS: dict[str, tuple[str, Any]] = {
    "remote code": ("tokenizer_kwargs", {"trust_remote_code": True}),
    "a vocabulary elsewhere": ("tokenizer_kwargs", {"bpe_path": "/etc/passwd"}),
    "masking by a download": ("tokenizer_kwargs", {"reduction_mask": "syntax"}),
    "a tower at a path": ("hf_model_name", "/a/tower"),
    "a tower of a hub": ("hf_model_name", "org/tower"),
    "a field of nobody": ("__class__", "x"),
}


@pytest.mark.failure("received folder")
@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_that_came_with_an_adapter_names_no_code_and_no_place(commands: Commands, received: Sent, name: str, case: Case) -> None:
    """Sealed again, so that the encoder is the recorded one."""
    path = received.adapter / "encoder" / "open_clip_config.json"
    field, value = CONFIGS[name]
    written = json.loads(path.read_bytes())
    written["model_cfg"]["text_cfg"][field] = value
    path.write_text(json.dumps(written))
    forge_encoder(received.adapter, {**written["model_cfg"]})
    ended = commands("verify", "--store", str(received.adapter), cwd=received.image.parent, store=received.store)
    assert ended.code == 0, ended.stderr
    words = "would be fetched in part (org/tower)" if value == "org/tower" else f"its field 'model_cfg.text_cfg.{field}"
    with case():
        refused(predict(commands, received), words)
    for command in (["run", "--data", str(received.image.parent)], ["extract", "--data", str(received.image.parent)]):
        if value != "org/tower":
            model = f"local-dir:{received.adapter / 'encoder'}"
            with case():
                assert commands(*command, "--model", model, cwd=received.image.parent, store=received.image.parent / "none").code == 2


def forge_encoder(export: Path, model: dict[str, Any]) -> None:
    """Make the recorded encoder, and the fingerprints of all that follows from it, fit a changed config."""
    old, new = {}, {}
    for stage in ("texts", "cache", "adapter"):
        path = next(export.glob(f"{stage}/*/manifest.json"))
        manifest = json.loads(path.read_bytes())
        if stage == "texts":
            manifest["fields"]["encoder"]["model"] = model
        manifest["inputs"] = {name: new.get(digest, digest) for name, digest in manifest["inputs"].items()}
        old[stage] = manifest["fingerprint"]
        manifest["fingerprint"] = fingerprint({key: manifest[key] for key in ("stage", "fields", "inputs")})
        new[old[stage]] = manifest["fingerprint"]
        path.write_bytes(seal(json.dumps({**manifest, "checksum": ""}).encode()))
    seal_export(export, adapter=manifest["fingerprint"])


# ---- what lies beside the files of an artifact, and beside the artifacts


@pytest.mark.failure("received folder")
def test_an_export_copies_what_manifests_list_and_nothing_else(commands: Commands, received: Sent, tmp_path: Path, case: Case) -> None:
    """And what is neither file nor folder is told by `verify`."""
    (tmp_path / "secret").write_text("secret")
    for stage in ("adapter", "cache", "texts"):
        folder = next((received.store / stage).glob("*tip-adapter-2shot*" if stage == "adapter" else "*"))
        (folder / "notes").symlink_to(tmp_path / "secret")
        (folder / "lost").symlink_to("nowhere")
        (folder / "more").symlink_to(tmp_path)
        (folder / ".hidden").write_text("of the sender's machine")
        os.mkfifo(folder / "pipe")
    checked = commands("verify", "--store", str(received.store), cwd=tmp_path, store=received.store)
    assert checked.code == 1
    assert checked.stdout.count("its manifest lists none there") == 4 * 3
    words = ["export", str(tmp_path / "out"), "--method", "tip-adapter", "--store", str(received.store)]
    ended = commands(*words, cwd=tmp_path, store=received.store)
    assert ended.code == 0, ended.stderr
    for name in ("notes", "lost", "more", ".hidden", "pipe"):
        with case():
            assert list((tmp_path / "out").rglob(name)) == []
    assert commands("verify", "--store", str(tmp_path / "out"), cwd=tmp_path, store=received.store).code == 0


@pytest.mark.failure("received folder")
@pytest.mark.parametrize("kind", ["a FIFO", "a link", "a device", "a folder"])
def test_commands_end_on_an_artifact_whose_file_is_no_file(
    commands: Commands, received: Sent, tmp_path: Path, kind: str, case: Case
) -> None:
    folder = next(received.adapter.glob("adapter/*"))
    path = folder / "adapter.safetensors"
    kept = path.rename(tmp_path / "kept")
    put(kind, path, kept)
    fake = received.adapter / "eval" / "zz-00000000"
    fake.mkdir(parents=True)
    put(kind, fake / "manifest.json", next(folder.glob("manifest.json")))
    store = ["--store", str(received.adapter)]
    for argv in (["verify"], ["status"], ["gc"], ["sql", "from artifacts"], ["show", folder.name], ["report"], ["export", "out"]):
        with case():
            ended = commands(*argv, *store, cwd=tmp_path, store=tmp_path / "none")
            assert ended.code in (0, 1, 2), ended.stderr
            assert "Traceback" not in ended.stderr
    with case():
        refused(predict(commands, received), "not a file")


@pytest.mark.failure("received folder")
@pytest.mark.parametrize("name", ["an endless view", "a trigger", "a link", "a FIFO", "a folder", "another table"])
def test_remembered_hashes_that_came_along_are_forgotten_where_they_are_more_than_a_table(tmp_path: Path, name: str) -> None:
    side, image = tmp_path / "hashes.sqlite", tmp_path / "image"
    image.write_bytes(b"image")
    rows = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x AS place, x AS stamp, x AS note, x AS blake3 FROM c"
    scripts = {
        "an endless view": f"CREATE VIEW notes AS {rows}",
        "a trigger": f"CREATE TABLE {TABLE}; CREATE TRIGGER t AFTER INSERT ON notes BEGIN {rows}; END",
        "another table": "CREATE TABLE notes (place BLOB, stamp INT DEFAULT (randomblob(1000000000)))",
    }
    if name in scripts:
        with closing(sqlite3.connect(side)) as database:
            database.executescript(scripts[name])
    else:
        (tmp_path / "other").write_bytes(b"")
        put(name, side, tmp_path / "other")
    for _ in range(2):
        assert hash_files([image], Notes(side)) == {image: hash_file(image)}
        Notes(side).remember({"x": "1"}, {"x": "{}"})
