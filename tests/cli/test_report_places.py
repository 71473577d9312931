"""What a report opens: what is named, and what its store extracted on this machine; and how it tells runs apart and compares them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import xmap.pipeline.studies.pictures
import xmap.store.memory.sources
from tests.cli.test_report import written
from tests.worlds.commands import call
from tests.worlds.odd.sealed import reseal
from tests.worlds.report import RUN
from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.manifest import MANIFEST
from xmap.store.memory.sources import recall_source, remember_source, state_folders

Case = Callable[[], AbstractContextManager[None]]
COLOURS = {"ant": (200, 40, 40), "bee": (40, 200, 40), "cat": (40, 40, 200)}


def paint(folder: Path, each: int, start: int = 0) -> None:
    draw = np.random.default_rng(start)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(start, start + each):
            pixels = np.clip(np.asarray(colour) + draw.normal(0, 110, (24, 24, 3)), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{name}{number}.png")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of photos, and a store with two runs of one name: before and after images were added."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("placed")
    paint(folder / "photos", 12)
    for added in (0, 4):
        if added:
            paint(folder / "photos", added, start=12)
        done = call(
            "run", "--data", folder / "photos", *RUN, "--methods", "zero-shot,tip-adapter", "--shots", 2, "--store", folder / "store"
        )
        assert done.exit_code == 0, done.output
    return folder


def shown(store: Path, *words: object, page: Path) -> tuple[dict[str, Any], Any]:
    """The data of a report of the newest run, and what was said."""
    result = call("report", "--store", store, "-o", page, *words)
    assert result.exit_code == 0, result.output
    return written(page), result


def forged(world: Path, folder: Path, source: dict[str, str] | str) -> Path:
    """The store as somebody might send it: its manifests state other places, or name them in the command as those of before did."""
    shutil.copytree(world / "store", folder)
    for path in folder.glob(f"*/*/{MANIFEST}"):
        manifest = json.loads(path.read_text("utf-8"))
        if isinstance(source, str):
            del manifest["source"]
            reseal(path.parent, {**manifest, "command": source})
        else:
            reseal(path.parent, {**manifest, "source": {"data": source, "encoder": {"model": "xmap-tiny"}}})
    return folder


def test_a_store_shows_what_it_extracted_here_and_says_where(world: Path, tmp_path: Path) -> None:
    data, result = shown(world / "store", "--json", page=tmp_path / "r.html")
    assert len(data["tasks"][0]["thumbnails"]) >= len(data["tasks"][0]["samples"])
    assert f"images from {world / 'photos'}" in result.stderr
    assert json.loads(result.stdout)["images"] == [str(world / "photos")]


@pytest.mark.failure("received folder")
@pytest.mark.parametrize(
    "source",
    [
        {"data": "{private}"},
        {"data": "{private}/table.csv"},
        {"data": "{private}", "classes": "{private}/secret.txt"},
        {"data": "coop:caltech101", "root": "{private}"},
        {"data": "http://127.0.0.1:9/private"},
        {"data": "s3://bucket/private"},
        {"data": "{private}/*.tar"},
        "xmap extract --data {private} --classes {private}/secret.txt --model xmap-tiny",
    ],
)
def test_a_received_store_opens_nothing_and_asks_nobody(
    world: Path, tmp_path: Path, source: dict[str, str] | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint(tmp_path / "private", 12)
    (tmp_path / "private" / "table.csv").write_text("path,label\nant/ant0.png,ant\n")
    private = json.loads(json.dumps(source).replace("{private}", str(tmp_path / "private")))
    received = forged(world, tmp_path / "received", private)
    monkeypatch.setattr(xmap.pipeline.studies.pictures, "open_dataset", lambda *_, **__: pytest.fail("something was opened"))
    data, result = shown(received, page=tmp_path / "r.html")
    assert data["tasks"][0]["thumbnails"] == {}
    assert "did not extract them here" in result.stderr
    assert "--data DIR" in result.stderr


@pytest.mark.failure("received folder")
def test_a_received_store_shows_what_is_named_and_opens_no_file_that_it_names(world: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("ant\n")
    received = forged(world, tmp_path / "received", {"data": "/", "classes": f"{tmp_path}/secret.txt", "root": "/"})
    data, result = shown(received, "--data", world / "photos", page=tmp_path / "r.html")
    assert data["tasks"][0]["thumbnails"]
    assert f"images from {world / 'photos'}" in result.stderr
    assert "secret" not in result.stderr


def test_a_store_whose_source_was_changed_in_place_shows_what_was_extracted(world: Path, tmp_path: Path) -> None:
    paint(tmp_path / "private", 12)
    moved = tmp_path / "aside"
    shutil.move(world / "store", moved)
    try:
        forged_store = forged_from(moved, world / "store", {"data": f"{tmp_path}/private"})
        _, result = shown(forged_store, page=tmp_path / "r.html")
        assert f"images from {world / 'photos'}" in result.stderr
    finally:
        shutil.rmtree(world / "store")
        shutil.move(moved, world / "store")


def forged_from(source: Path, target: Path, places: dict[str, str]) -> Path:
    world = source.parent / "holder"
    world.mkdir()
    shutil.copytree(source, world / "store")
    return forged(world, target, places)


@pytest.mark.failure("odd output")
def test_notes_that_are_odd_are_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    remember_source(tmp_path / "store", "f1", {"data": "here"})
    assert recall_source(tmp_path / "store", "f1") == {"data": "here"}
    with case():
        assert recall_source(tmp_path / "store", "f2") is None
    with case():
        assert recall_source(tmp_path / "other", "f1") is None
    note = next((tmp_path / "state" / "xmap" / "extracted").iterdir())
    for odd in (b"", b"[]", b"null", b"\xff", b'{"images": "f2", "settings": {}}', b'{"images": "f1"}', b"{" * 100_000):
        with case():
            note.write_bytes(odd)
            assert recall_source(tmp_path / "store", "f1") is None
    with case():
        note.unlink()
        note.mkdir()
        remember_source(tmp_path / "store", "f1", {})
        assert recall_source(tmp_path / "store", "f1") is None


@pytest.mark.failure("no permission")
def test_without_a_place_for_notes_nothing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    (tmp_path / "file").write_text("")
    with case():
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
        remember_source(tmp_path, "f", {})
        assert recall_source(tmp_path, "f") is None
    with case():
        monkeypatch.delenv("XDG_STATE_HOME")
        monkeypatch.setattr(xmap.store.memory.sources.os.path, "expanduser", lambda _: "~")
        monkeypatch.setattr(xmap.store.memory.sources.pwd, "getpwuid", lambda _: (_ for _ in ()).throw(KeyError()))
        assert state_folders() == []
        remember_source(tmp_path, "f", {})
        assert recall_source(tmp_path, "f") is None


def test_two_runs_are_compared_on_the_images_that_both_scored(world: Path, tmp_path: Path) -> None:
    evaluations = Store(world / "store").artifacts("eval")
    names = [found.fingerprint[:8] for found in evaluations]
    result = call("report", *names, "--store", world / "store", "-o", tmp_path / "r.html")
    assert result.exit_code == 0, result.output
    data = written(tmp_path / "r.html")
    scored = [{sample for sample, found in zip(data["tasks"][0]["samples"], row["answers"]["predicted"], strict=True) if found is not None}
              for row in data["series"]]  # fmt: skip
    across = [row for row in data["differences"] if data["series"][row["of"]]["run"] != data["series"][row["against"]]["run"]]
    assert len(across) == 4
    for row in across:
        both = scored[row["of"]] & scored[row["against"]]
        assert row["images"] == len(both)
        assert 0 < len(both) < len(scored[row["of"]])
    within = [row for row in data["differences"] if row not in across]
    assert [row["images"] for row in within] == [data["runs"][data["series"][row["of"]]["run"]]["samples"] for row in within]


def test_runs_of_one_name_are_told_apart_by_when_they_were_made(world: Path, tmp_path: Path) -> None:
    evaluations = Store(world / "store").artifacts("eval")
    assert (
        call("report", *(found.fingerprint[:8] for found in evaluations), "--store", world / "store", "-o", tmp_path / "r.html").exit_code
        == 0
    )
    runs = written(tmp_path / "r.html")["runs"]
    assert len({run["label"] for run in runs}) == 2
    for run, found in zip(runs, evaluations, strict=True):
        assert run["label"].startswith(found.manifest["created"][:10])
        assert run["name"] == f"{found.name} {run['label']}"
