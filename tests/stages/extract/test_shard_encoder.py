"""One shard, one model: each feature is the encoder's for its view, and bad images move no others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.worlds.extraction import SMALL, Plan
from tests.worlds.pixels import loaded
from xmap.stages.datasets.dataset import TRAIN
from xmap.stages.encoder.model import Encoder, plain_crop
from xmap.stages.extract.shard_encoder import full_batches
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
    expected = model.encode_images(normalised(maker.views(image, sample.sample_id, 2), job.encoder.preprocess))
    found = rows.features[[row for row, name in enumerate(rows.sample_ids) if name == sample.sample_id]]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert np.abs(found[0] - found[1]).max() > 1e-3


def test_a_bad_image_does_not_move_the_others(plan: Plan, photos: Path) -> None:
    """Its places in the batch stay zero, so that every other image meets the batch it would have met."""
    job = plan()
    control = read_images(job.run().files("train-"))
    (photos / "train" / "cat" / "1.jpg").write_bytes(b"gone bad")
    found = read_images(plan().run().files("train-"))
    same = [row for row, name in enumerate(control.sample_ids) if name != "train/cat/1.jpg"]
    np.testing.assert_array_equal(found.features, control.features[same])


def test_a_shard_of_bad_images_only_is_empty(plan: Plan, photos: Path) -> None:
    for name in ("0.jpg", "1.jpg"):
        (photos / "train" / "cat" / name).write_bytes(b"bad")
    artifact = plan().run()
    assert len(read_images([artifact.file("train-00000.parquet")])) == 0
    assert read_images(artifact.files("train-")).features.shape == (15, 32)


def test_features_that_are_not_finite_are_refused(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Encoder, "encode_images", lambda self, batch: np.full((len(batch), 32), np.nan, np.float32))
    with pytest.raises(InputError, match="not finite at --precision fp32"):
        plan().run()


@pytest.mark.parametrize(("views", "batch"), [(1, 4), (3, 4), (5, 2), (4, 4)])
def test_batches_are_full_and_hold_the_views_in_order(views: int, batch: int) -> None:
    images = [np.full((views, 2, 2, 3), number, np.uint8) for number in range(1, 6)]
    images[2] = None  # type: ignore[call-overload]
    batches = list(full_batches(images, views, (2, 2), batch))
    assert all(found.shape == (batch, 2, 2, 3) for found in batches)
    rows = np.concatenate(batches)[:, 0, 0, 0].tolist()
    expected = [number for number in (1, 2, 0, 4, 5) for _ in range(views)]
    assert rows[: len(expected)] == expected
    assert not any(rows[len(expected) :])
    assert len(rows) - len(expected) < batch
