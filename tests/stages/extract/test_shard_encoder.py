"""One shard, one model: each feature is the encoder's for its view, and bad images move no others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.worlds.extraction import SMALL, Plan
from tests.worlds.pixels import loaded
from xmap.stages.datasets.dataset import TRAIN
from xmap.stages.encoder.model import Encoder
from xmap.stages.extract.shard_encoder import full_batches
from xmap.stages.images.crop import plain_crop
from xmap.stages.images.views import ViewMaker, normalised
from xmap.store.errors import InputError
from xmap.store.formats.features import read_images


def test_a_feature_is_the_encoders_output_for_the_view(plan: Plan) -> None:
    job = plan()
    rows = read_images(job.run().files("train-"))
    model = Encoder.load(job.encoder, "cpu")
    maker = ViewMaker(plain_crop(job.encoder.preprocess), job.encoder.preprocess, SMALL.view_seed)
    sample = job.dataset.split(TRAIN)[3]
    image = loaded(sample.place)
    assert isinstance(image, Image.Image)
    views = maker.views(image, job.hashes[sample.place], range(3))
    expected = model.encode_images(normalised(views, job.encoder.preprocess))
    found = rows.features[[row for row, name in enumerate(rows.sample_ids) if name == sample.sample_id]]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert np.abs(found[0] - found[1]).max() > 1e-5


def test_a_bad_image_does_not_move_the_others(plan: Plan, photos: Path) -> None:
    """Others take its places in the batch, and no bit of theirs depends on that."""
    job = plan(store="control")
    control = read_images(job.run().files("train-"))
    (photos / "train" / "cat" / "1.jpg").write_bytes(b"gone bad")
    found = read_images(plan().run().files("train-"))
    same = [row for row, name in enumerate(control.sample_ids) if name != "train/cat/1.jpg"]
    np.testing.assert_array_equal(found.features, control.features[same])


def test_a_shard_of_bad_images_only_is_empty(plan: Plan, photos: Path) -> None:
    for name in ("0.jpg", "1.jpg"):
        (photos / "train" / "cat" / name).write_bytes(b"bad")
    artifact = plan().run()
    assert read_images(artifact.files("train-")).features.shape == (15, 32)
    assert artifact.summary["bad_kinds"] == {"not-an-image": 2}


def test_a_split_of_bad_images_only_is_empty(plan: Plan, photos: Path) -> None:
    for path in photos.glob("val/*/*"):
        path.write_bytes(b"bad " + path.parent.name.encode())
    artifact = plan().run()
    assert artifact.summary["counts"] == {"train": 7, "val": 0, "test": 3}
    assert len(read_images(artifact.files("val-"))) == 0


def test_a_row_is_the_same_bits_alone_as_among_others_wherever_it_stands_in_the_batch(plan: Plan) -> None:
    """What all sharing of rows stands on; only the size of a batch changes bits, and that is part of what made them."""
    job = plan()
    model = Encoder.load(job.encoder, "cpu")
    pixels = np.random.default_rng(1).integers(0, 256, (8, 32, 32, 3), np.uint8)
    rows = model.encode_images(normalised(pixels, job.encoder.preprocess))
    for number in range(8):
        alone = np.zeros_like(pixels)
        alone[(number + 3) % 8] = pixels[number]
        found = model.encode_images(normalised(alone, job.encoder.preprocess))
        assert found[(number + 3) % 8].tobytes() == rows[number].tobytes()


def test_features_that_are_not_finite_are_refused(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Encoder, "encode_images", lambda self, batch: np.full((len(batch), 32), np.nan, np.float32))
    with pytest.raises(InputError, match="not finite at --precision fp32"):
        plan().run()


@pytest.mark.parametrize(("views", "batch"), [(1, 4), (3, 4), (5, 2), (4, 4)])
def test_batches_are_full_and_hold_the_views_in_order(views: int, batch: int) -> None:
    counts = [views, 1, views, 2, views]
    images = [np.full((count, 2, 2, 3), number, np.uint8) for number, count in enumerate(counts, 1)]
    batches = list(full_batches(images, (2, 2), batch))
    assert all(found.shape == (batch, 2, 2, 3) for found in batches)
    rows = np.concatenate(batches)[:, 0, 0, 0].tolist()
    expected = [number for number, count in enumerate(counts, 1) for _ in range(count)]
    assert rows[: len(expected)] == expected
    assert not any(rows[len(expected) :])
    assert len(rows) - len(expected) < batch
