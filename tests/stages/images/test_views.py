"""Laws of views: always the same for the same bytes, different between images, and shaped as promised."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from xmap.stages.encoder.identity import PREPROCESS
from xmap.stages.encoder.model import plain_transform
from xmap.stages.images.crop import plain_crop
from xmap.stages.images.views import ViewMaker, crop_box, normalised, uniforms

SETTINGS = {**PREPROCESS, "size": [24, 32], "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}


@pytest.fixture(scope="module")
def maker() -> ViewMaker:
    return ViewMaker(plain_crop(SETTINGS), SETTINGS, seed=1)


def picture(width: int = 50, height: int = 41) -> Image.Image:
    return Image.fromarray(np.random.default_rng(2).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_views_are_shaped_and_repeatable(maker: ViewMaker) -> None:
    views = maker.views(picture(), "aa", range(4))
    assert (views.shape, views.dtype) == ((4, 24, 32, 3), np.uint8)
    again = maker.views(picture(), "aa", range(6))
    assert np.array_equal(views, again[:4])
    assert not any(np.array_equal(one, other) for one, other in itertools.combinations(again, 2))


def test_some_views_are_those_among_all(maker: ViewMaker) -> None:
    """An image that comes into training gets the views that it lacks alone, in any order."""
    views = maker.views(picture(), "aa", range(5))
    assert np.array_equal(maker.views(picture(), "aa", (3, 1, 0)), views[[3, 1, 0]])


def test_global_random_state_is_neither_used_nor_changed(maker: ViewMaker) -> None:
    before = torch.get_rng_state()
    views = maker.views(picture(), "aa", (0, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(7)
    assert np.array_equal(views, maker.views(picture(), "aa", (0, 1, 2)))


def test_view_zero_is_the_encoders_own_crop(maker: ViewMaker) -> None:
    assert torch.equal(normalised(maker.views(picture(), "aa", (0,)), SETTINGS)[0], plain_transform(SETTINGS)(picture()))


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
def test_batches_are_normalised_as_open_clip_does_it_bit_for_bit(mode: str) -> None:
    settings = {**SETTINGS, "size": [32, 32], "resize_mode": mode}
    images = [Image.fromarray(np.random.default_rng(seed).integers(0, 256, (41 + seed, 50, 3), np.uint8)) for seed in range(5)]
    crop, transform = plain_crop(settings), plain_transform(settings)
    batch = normalised(np.stack([np.asarray(crop(image)) for image in images]), settings)
    assert torch.equal(batch, torch.stack([transform(image) for image in images]))


def test_seed_content_and_number_each_change_a_view(maker: ViewMaker) -> None:
    base = maker.augmented(picture(), "aa", 1)
    other_seed = ViewMaker(maker.plain, SETTINGS, seed=2).augmented(picture(), "aa", 1)
    others = [maker.augmented(picture(), "ab", 1), maker.augmented(picture(), "aa", 2), other_seed]
    assert not any(base.tobytes() == other.tobytes() for other in others)


def test_views_are_normalised_as_view_zero_is(maker: ViewMaker) -> None:
    grey = Image.new("RGB", (40, 40), (128, 64, 32))
    views = normalised(maker.views(grey, "aa", (0, 1, 2)), SETTINGS)
    torch.testing.assert_close(views[1], views[0])
    torch.testing.assert_close(views[2], views[0])


def test_half_of_the_views_are_flipped(maker: ViewMaker) -> None:
    half = Image.new("RGB", (64, 64), "black")
    half.paste("white", (0, 0, 32, 64))
    left = [bool(view[:, :4, 0].mean() > view[:, -4:, 0].mean()) for view in maker.views(half, "ab", range(1, 201))]
    assert 70 < sum(left) < 130


@given(st.integers(1, 3000), st.integers(1, 3000), st.text(max_size=5), st.integers(1, 100))
def test_a_crop_lies_inside_the_image(width: int, height: int, content: str, view: int) -> None:
    left, upper, right, lower = crop_box(width, height, uniforms(1, content, view))
    assert 0 <= left < right <= width
    assert 0 <= upper < lower <= height


@given(st.text(max_size=5), st.integers(1, 100))
def test_area_and_aspect_are_in_range(content: str, view: int) -> None:
    left, upper, right, lower = crop_box(1000, 1000, uniforms(3, content, view))
    wide, tall = right - left, lower - upper
    assert 0.49 < wide * tall / 1e6 <= 1
    assert 0.74 < wide / tall < 1.35


@pytest.mark.parametrize(("width", "height"), [(1000, 3), (3, 1000), (1, 1)])
def test_very_long_images_get_a_central_crop(width: int, height: int) -> None:
    left, upper, right, lower = crop_box(width, height, uniforms(1, "long", 1))
    assert abs((left + right) - width) <= 1
    assert abs((upper + lower) - height) <= 1
    assert max(right - left, lower - upper) <= 4


def test_the_stream_is_uniform_and_never_changes() -> None:
    numbers = np.array(list(itertools.islice(uniforms(1, "cat/1.jpg", 1), 5000)))
    assert ((numbers >= 0) & (numbers < 1)).all()
    assert abs(numbers.mean() - 0.5) < 0.02
    assert abs(numbers.std() - 12**-0.5) < 0.02
    np.testing.assert_allclose(numbers[:3], [0.8755046027468718, 0.2772184810628574, 0.7061083303307271], rtol=1e-15)
