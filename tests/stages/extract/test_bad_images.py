"""Bad images are listed and left out, and the others go on; a class or a split of bad images alone is an error."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import xmap.stages.images.decode
import xmap.stages.images.room
from tests.worlds.contents import having
from tests.worlds.extraction import Plan, Told
from tests.worlds.pictures import picture
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
    with pytest.raises(InputError, match=r"none of the images of .* can be used: 'train/a/x.jpg' is not-an-image"):
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
        replace(job, dataset=replace(job.dataset, samples=having([], []))).run()


@pytest.mark.promise
@pytest.mark.parametrize("refused", ["before", "while"])
def test_an_image_for_which_memory_was_short_is_looked_at_again(
    plan: Plan, photos: Path, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    """How much is free is a matter of the moment: a content that once did not fit is not bad for ever."""
    Image.new("RGB", (300, 300), "red").save(photos / "train" / "cat" / "large.png")
    with monkeypatch.context() as short:
        if refused == "before":
            short.setattr(xmap.stages.images.room, "LITTLE", 500_000)
            short.setattr(xmap.stages.images.room, "available_bytes", lambda: 100_000)
        else:
            short.setattr(xmap.stages.images.decode, "rgb_of", partial(_short_of_memory, xmap.stages.images.decode.rgb_of))
        first = plan().run()
    assert [(row.sample_id, row.kind) for row in read_errors(first.file("errors.parquet"))] == [("train/cat/large.png", "too-large")]
    picture(50).save(photos / "train" / "cat" / "new.png")
    told = Told()
    second = plan().run(progress=told)
    assert told.encoded == 2
    assert read_errors(second.file("errors.parquet")) == []


def _short_of_memory(real: Any, image: Image.Image, *given: Any) -> Any:
    if image.width == 300:
        # As Pillow says it of a decoder.
        raise OSError("out of memory when reading image file")
    return real(image, *given)
