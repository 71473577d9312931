"""Tars through the command line: a whole run, a rerun that reads none of them again, the report's pictures."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

import xmap.stages.datasets.sources.webdataset
import xmap.store.memory.hashes
from tests.cli.test_report import written
from tests.cli.test_startup import HEAVY, imported
from tests.worlds.commands import call
from tests.worlds.inputs import write_photos
from tests.worlds.tars import write_tar
from xmap.store.artifacts.artifact import Store

FLAGS = ("--model", "xmap-tiny", "--views", "1", "--batch-size", "4", "--shots", "2", "--seeds", "1", "--methods", "zero-shot,tip-adapter")


@pytest.fixture
def tars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The photos of the pipeline's tests as one tar a split and class, one of them with a bad image."""
    monkeypatch.chdir(tmp_path)
    photos = write_photos(tmp_path / "photos")
    for folder in sorted(photos.glob("*/*")):
        members = [(f"{folder.name}/{path.name}", path.read_bytes()) for path in sorted(folder.iterdir())]
        members += [(f"{Path(name).with_suffix('.cls')}", folder.name.encode()) for name, _ in members]
        if folder.parent.name == "test":
            members += [(f"{folder.name}/web.jpg", b"<html>"), (f"{folder.name}/web.json", json.dumps({"label": folder.name}).encode())]
        write_tar(tmp_path / "tars" / folder.parent.name / f"{folder.name}.tar", members)
    return tmp_path / "tars"


def test_a_run_on_tars_from_images_to_report(tars: Path, tmp_path: Path, own_store: Path) -> None:
    result = call("run", "--data", "tars", *FLAGS, "--workers", "2")
    assert result.exit_code == 0, result.output
    assert "3 of 30 images could not be used: 3 not-an-image" in result.stderr
    found = call("sql", "select sample_id, class_name from samples where split = 'test' order by 1 limit 1", "--json")
    assert json.loads(found.stdout)[0]["sample_id"].startswith("test/")
    assert call("report", "-o", tmp_path / "report.html").exit_code == 0
    data = written(tmp_path / "report.html")
    shown = data["tasks"][0]
    assert {name for name in shown["samples"] if name not in shown["thumbnails"]} == set()
    assert all(row["sample"].endswith(".tar/" + row["sample"].split("/")[-2] + "/web.jpg") for row in data["runs"][0]["unreadable"])
    predicted = call("predict", "photos/test", "--explain", "--json")
    assert predicted.exit_code == 0, predicted.output
    neighbor = json.loads(predicted.stdout.splitlines()[0])["neighbors"][0]["sample_id"]
    assert neighbor.startswith("train/")
    assert ".tar/" in neighbor


def test_a_second_run_reads_no_tar(tars: Path, own_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xmap.store.memory.hashes, "YOUNG_NS", 0)
    assert call("extract", "--data", "tars", *FLAGS[:6], "--workers", "0").exit_code == 0
    monkeypatch.setattr(xmap.stages.datasets.sources.webdataset, "list_tar", None)
    started = time.monotonic()
    again = call("extract", "--data", "tars", *FLAGS[:6], "--workers", "0")
    assert again.exit_code == 0, again.output
    assert time.monotonic() - started < 5
    assert len(Store(own_store).artifacts("images")) == 1


def test_a_second_run_imports_nothing_heavy(tars: Path, own_store: Path) -> None:
    time.sleep(2.1)
    arguments = ["extract", "--data", str(tars), *FLAGS[:6], "--workers", "0"]
    assert call(*arguments).exit_code == 0
    assert imported(*arguments).isdisjoint({*HEAVY, "PIL", "fsspec"})
