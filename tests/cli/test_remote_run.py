"""Remote and packed data through the command line: a whole run, its report, and what a second run does."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import xmap.stages.datasets.content.hashing
import xmap.store.memory.hashes
from tests.cli.test_report import written
from tests.cli.test_startup import HEAVY, imported
from tests.cli.test_tars import FLAGS
from tests.worlds.commands import call
from tests.worlds.inputs import write_photos
from tests.worlds.s3 import Bucket
from xmap.store.artifacts.artifact import Store


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_photos(tmp_path / "photos")


def shown(report: Path) -> tuple[int, int]:
    """How many samples a report lists, and how many of them with a picture."""
    task = written(report)["tasks"][0]
    return len(task["samples"]), len(set(task["samples"]) & set(task["thumbnails"]))


def test_a_run_on_a_bucket_from_images_to_report(bucket: Bucket, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = bucket.put(photos)
    for data, store_ in ((url, "remote"), (str(photos), "local")):
        result = call("run", "--data", data, *FLAGS, "--workers", "2", "--store", store_)
        assert result.exit_code == 0, result.output
    remote, local = ({found.fingerprint for found in Store(tmp_path / name).artifacts()} for name in ("remote", "local"))
    assert remote == local
    assert call("report", "--store", "remote", "-o", "report.html").exit_code == 0
    assert shown(tmp_path / "report.html") == (9, 9)
    planned = ("extract", "--data", url, *FLAGS[:6], "--store", "remote")
    assert imported(*planned).isdisjoint({*HEAVY, "PIL"})
    monkeypatch.setattr(xmap.stages.datasets.content.hashing, "read_bytes", None)
    again = call("run", "--data", url, *FLAGS, "--workers", "0", "--store", "remote")
    assert again.exit_code == 0, again.output
    assert "reused" in again.output


def test_a_run_on_parquet_images_from_images_to_report(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xmap.store.memory.hashes, "YOUNG_NS", 0)
    for split in ("train", "val", "test"):
        paths = sorted((photos / split).glob("*/*.png"))
        rows = {"image": [{"bytes": path.read_bytes(), "path": path.name} for path in paths], "label": [path.parent.name for path in paths]}
        (tmp_path / "pets" / "data").mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(rows), tmp_path / "pets" / "data" / f"{split}-00000-of-00001.parquet", row_group_size=4)
    result = call("run", "--data", "pets", *FLAGS, "--workers", "2")
    assert result.exit_code == 0, result.output
    assert call("report", "-o", "report.html").exit_code == 0
    assert shown(tmp_path / "report.html") == (9, 9)
