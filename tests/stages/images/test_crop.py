"""The encoder's own crop without torch: pixel by pixel what open_clip's preprocessing cuts out by torchvision."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import Compose, Normalize, ToTensor

from xmap.stages.encoder.identity import PREPROCESS
from xmap.stages.encoder.model import plain_transform
from xmap.stages.images.crop import plain_crop
from xmap.stages.images.decode import RULES
from xmap.stages.images.views import out_of_proportion

SIZES = ([32, 32], [24, 32], [33, 20])
NOISE = np.random.default_rng(5).integers(0, 256, (400, 400, 3), dtype=np.uint8)


@given(
    width=st.integers(1, 400),
    height=st.integers(1, 400),
    size=st.sampled_from(SIZES),
    mode=st.sampled_from([None, "shortest", "longest", "squash"]),
    interpolation=st.sampled_from(["bicubic", "bilinear", "random"]),
    fill=st.sampled_from([0, 7, [1, 2, 3]]),
)
@example(33, 32, [32, 32], "shortest", "bicubic", 0)
@example(32, 32, [32, 32], "longest", "bicubic", 0)
@example(399, 2, [32, 32], "longest", "bilinear", [1, 2, 3])
@settings(max_examples=150, deadline=None)
def test_it_cuts_the_pixels_that_torchvision_cuts(
    width: int, height: int, size: list[int], mode: str | None, interpolation: str, fill: int | list[int]
) -> None:
    # open_clip asserts a mode, which the identity of an encoder states.
    stated = {**PREPROCESS, "size": size, "interpolation": interpolation, "fill_color": fill, "resize_mode": mode or "shortest"}
    if out_of_proportion((width, height), stated, RULES):
        return
    image = Image.fromarray(NOISE[:height, :width])
    steps = plain_transform(stated).transforms  # type: ignore[attr-defined]
    assert isinstance(steps[-2], ToTensor)
    assert isinstance(steps[-1], Normalize)
    expected = Compose(steps[:-2])(image)
    found = plain_crop({**stated, "resize_mode": mode})(image)
    assert found.size == (size[1], size[0])
    assert np.array_equal(np.asarray(found), np.asarray(expected))


@pytest.mark.parametrize("size", [(1000, 3), (3, 1000), (4000, 3000)])
def test_long_and_large_images_too(size: tuple[int, int]) -> None:
    image = Image.new("RGB", size, (10, 200, 30))
    image.paste((255, 0, 0), (0, 0, size[0] // 2, size[1]))
    stated = {**PREPROCESS, "size": [224, 224]}
    expected = Compose(plain_transform(stated).transforms[:-2])(image)  # type: ignore[attr-defined]
    assert np.array_equal(np.asarray(plain_crop(stated)(image)), np.asarray(expected))
