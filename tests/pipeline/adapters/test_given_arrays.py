"""Arrays and tensors as images: every layout and kind of value that is taken gives the same pixels, the others a sentence."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pytest
import torch

from xmap.pipeline.adapters.given_arrays import is_batch, pixels_of
from xmap.pipeline.adapters.given_images import given_images
from xmap.stages.images.read import Held
from xmap.store.errors import InputError

Case = Callable[[], AbstractContextManager[None]]
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
FIRST = np.ascontiguousarray(np.moveaxis(PIXELS, 2, 0))
# What torchvision's ToTensor makes of it.
UNIT = torch.from_numpy(FIRST).float() / 255


@pytest.mark.parametrize(
    "given",
    [
        PIXELS,
        FIRST,
        PIXELS[::-1][::-1],
        PIXELS.astype(np.float64) / 255,
        PIXELS.astype(np.float32) / 255,
        (PIXELS.astype(np.float32) / 255).astype(np.float16),
        torch.from_numpy(PIXELS),
        torch.from_numpy(FIRST),
        UNIT,
        UNIT.double(),
        UNIT.half(),
        UNIT.clone().requires_grad_(),
        UNIT.permute(1, 2, 0),
    ],
)
def test_the_same_picture_in_every_form(given: Any) -> None:
    np.testing.assert_array_equal(pixels_of(given, "it"), PIXELS)


def test_eight_bits_of_a_brain_float_lie_within_a_step() -> None:
    assert np.abs(pixels_of(UNIT.bfloat16(), "it").astype(int) - PIXELS).max() <= 1


def test_grey_and_alpha() -> None:
    grey = PIXELS[..., 0]
    for given in (grey, grey[..., None], grey[None], torch.from_numpy(grey.copy())[None]):
        np.testing.assert_array_equal(pixels_of(given, "it"), grey)
    alpha = np.dstack([PIXELS, grey])
    np.testing.assert_array_equal(pixels_of(np.moveaxis(alpha, 2, 0), "it"), alpha)


def test_where_both_ends_may_be_channels_each_library_has_its_own() -> None:
    cube = np.random.default_rng(1).integers(0, 256, (3, 6, 3)).astype(np.uint8)
    np.testing.assert_array_equal(pixels_of(cube, "it"), cube)
    np.testing.assert_array_equal(pixels_of(torch.from_numpy(cube), "it"), np.moveaxis(cube, 0, 2))


def test_one_axis_more_is_a_batch() -> None:
    several = torch.stack([UNIT, 1 - UNIT])
    found = given_images(several)
    assert [str(one) for one in found] == ["image 0", "image 1"]
    assert given_images([several[:1], several[1:]]) == found
    alone = given_images([UNIT, (1 - UNIT).numpy()])
    assert [one.data for one in found if isinstance(one, Held)] == [one.data for one in alone if isinstance(one, Held)]
    assert is_batch(several)
    assert not is_batch([UNIT, UNIT])


@pytest.mark.failure("odd output")
def test_other_shapes_and_values_are_one_sentence(case: Case) -> None:
    odd: dict[str, list[Any]] = {
        "floats are taken from 0 to 1": [PIXELS.astype(np.float32), UNIT * 2 - 1, UNIT * float("nan"), UNIT - float("inf")],
        "uint8, 0 to 255": [PIXELS.astype(np.int64), PIXELS > 3, PIXELS.astype(np.uint16), PIXELS.astype("S"), UNIT.to(torch.complex64)],
        "taken are (height, width)": [PIXELS.reshape(-1), PIXELS[None, None], PIXELS[:0], np.asarray(0.5), PIXELS[..., :2]],
        "hand over a plain dense one": [UNIT.to_sparse(), UNIT.to("meta")],
    }
    for said, several in odd.items():
        for given in several:
            with case(), pytest.raises(InputError) as caught:
                given_images([given])
            assert said in str(caught.value)
            assert "image 0 is a" in str(caught.value)
            assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="uint8, 0 to 255"):
        given_images(np.asarray(["a.jpg", "b.jpg"]).reshape(1, 2))
