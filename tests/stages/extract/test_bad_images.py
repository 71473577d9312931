"""Bad images are listed and left out, and the others go on; a class or a split of bad images alone is an error."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.worlds.extraction import Plan, Told
from xmap.stages.datasets.dataset import TRAIN
from xmap.store.errors import InputError
from xmap.store.formats.features import read_errors, read_images

BAD = {"cut.jpg": "truncated", "empty.gif": "empty", "gone.jpg": "missing", "pipe.jpg": "not-a-file", "round.jpg": "link-loop"}


@pytest.mark.promise
@pytest.mark.timeout(120)
@pytest.mark.parametrize("workers", [0, 2])
def test_every_skipped_image_is_listed(plan: Plan, bad_photos: Path, workers: int) -> None:
    told = Told()
    job = plan()
    artifact = job.run(workers, told)
    errors = read_errors(artifact.file("errors.parquet"))
    assert {Path(row.path).name: row.kind for row in errors} == {**BAD, "web.png": "not-an-image"}
    assert all((row.split, row.path) == ("train", row.sample_id) for row in errors)
    assert [row.sample_id for row in errors] == sorted(row.sample_id for row in errors)
    stored = set(read_images(artifact.files("train-")).sample_ids)
    assert stored | {row.sample_id for row in errors} == {sample.sample_id for sample in job.dataset.split(TRAIN)}
    assert "train/dog/it's \U0001f600 [a] *.jpg" in stored
    assert artifact.summary["counts"]["train"] == 8
    assert artifact.summary["bad"] == 6
    assert any(line.startswith("6 of 19 images could not be used: 1 empty, 1 link-loop") for line in told.lines)


def test_only_bad_images_are_an_error(plan: Plan, tmp_path: Path) -> None:
    root = tmp_path / "bad"
    for split in ("train", "test"):
        for name in "ab":
            (root / split / name).mkdir(parents=True)
            (root / split / name / "x.jpg").write_text("no image")
    with pytest.raises(InputError, match=r"none of the 4 images can be used: 'train/a/x.jpg' is not-an-image"):
        plan(root=root).run()


def test_a_class_of_bad_images_alone_is_an_error(plan: Plan, bad_photos: Path) -> None:
    for path in bad_photos.glob("*/cat/*.*"):
        path.write_bytes(b"no image")
    with pytest.raises(
        InputError, match=r"none of the \d+ images of class 'cat' can be used: 'train/cat/.*' is not-an-image .*; put sound ones there"
    ):
        plan(root=bad_photos).run()


def test_no_images_are_an_error(plan: Plan) -> None:
    job = plan()
    with pytest.raises(InputError, match="has no images"):
        replace(job, dataset=replace(job.dataset, samples=())).run()
