"""The pictures of a report are found by the ids of samples: neither splits nor labels are asked for, and no file is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.run.test_execute import settings
from tests.worlds.pictures import write_images
from xmap.pipeline.run.execute import run
from xmap.pipeline.studies.pictures import pictures_of
from xmap.store.artifacts.artifact import Store


def test_pictures_are_found_without_reading_files_or_corrections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{name}/{number}.jpg" for name in ("ant", "bee") for number in range(6)]
    photos, labels = write_images(tmp_path / "photos", names), tmp_path / "right.csv"
    labels.write_text("sample_id,label\nant/0.jpg,bee\n")
    config = settings(photos).override({"data.labels": str(labels), "data.train_per_class": 2, "data.group_by": "[0-9]"})
    store = Store(tmp_path / "store")
    run(store, config, build=("images", "texts"))
    (images,) = store.artifacts("images")
    labels.unlink()

    def read(*_: object) -> None:
        raise AssertionError("a file is read, or a rule followed")

    for name in ("hash_places", "with_groups"):
        monkeypatch.setattr(f"xmap.stages.datasets.open.{name}", read)
    for data in ("", str(photos)):
        found = pictures_of(store, images, data)
        assert found.remarks == ()
        assert set(found.paths) == set(names)
