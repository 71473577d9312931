"""The shares of encoders, beside NumPy; and what is said of images that are left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.worlds.small_task import cross_entropy, double, softmax
from tests.worlds.two_encoders import seen_twice
from xmap.stages.methods.encoders.shares import Said, fit_scale, learn_shares, left_out, shares_of
from xmap.stages.methods.options import XMAdapterOptions

OPTIONS = XMAdapterOptions()


def said(scale: float, seed: int = 0, among: tuple[bool, ...] = (True,) * 4) -> Said:
    random = np.random.default_rng(seed)
    labels = random.choice(np.flatnonzero(among), 30)
    sure = np.eye(4)[labels]
    logits = np.stack([2.0 * sure + random.normal(size=(30, 4)), scale * sure + random.normal(size=(30, 4))])
    return Said(torch.from_numpy(logits).float(), torch.from_numpy(labels), torch.tensor(among))


def test_shares_are_those_of_the_formula() -> None:
    logits = said(1.0).logits
    found = shares_of(logits, {"2.scale": 1.5, "2.shown": 0.8})
    sure = []
    for one in (double(logits[0]), 1.5 * double(logits[1])):
        chances = softmax(one)
        sure.append(1.0 + (chances * np.log(chances)).sum(1) / np.log(4))
    expected = 1.5 * (0.8 * np.minimum(sure[1] / sure[0], 2.0)) ** 4
    np.testing.assert_allclose(found.numpy(), np.stack([np.ones(30), expected]), rtol=1e-5)


def test_what_is_learned_is_that_of_the_formula() -> None:
    parts = [said(1.0, seed=1), said(1.0, seed=2, among=(True, False, True, True))]
    rows = [(double(part.logits), part.labels.numpy(), part.among.numpy()) for part in parts]

    def loss(encoder: int, scale: float) -> list[float]:
        place = [np.cumsum(among) - 1 for _, _, among in rows]
        return [cross_entropy(scale * logits[encoder][:, among], place[part][labels]) for part, (logits, labels, among) in enumerate(rows)]

    grid = np.linspace(0, 5, 5001)
    scales = [grid[np.argmin([sum(loss(encoder, scale)) for scale in grid])] for encoder in (0, 1)]
    shown = [1.0 - np.mean(np.array(loss(encoder, scales[encoder])) / np.log([4, 3])) for encoder in (0, 1)]
    found = learn_shares(parts, 2)
    assert found["2.scale"] == pytest.approx(scales[1], abs=2e-3)
    assert found["2.shown"] == pytest.approx(min(shown[1] / shown[0], 1.0), abs=2e-3)


def test_what_points_away_from_the_truth_has_the_scale_nought() -> None:
    part = said(-3.0)
    assert fit_scale([part.by(1)]) == 0.0
    assert learn_shares([part], 2) == {"2.scale": 0.0, "2.shown": 0.0}
    assert learn_shares([], 2) == {"2.scale": 0.0, "2.shown": 0.0}


@pytest.mark.parametrize("shots", [1, 3])
def test_every_image_is_left_out_once(shots: int) -> None:
    task = seen_twice(shots)
    found = list(left_out(task, OPTIONS))
    assert sum(len(part.labels) for part in found) == len(task.support)
    for part in found:
        assert part.logits.shape == (2, len(part.labels), 8)
        assert bool(torch.isfinite(part.logits).all())
        assert bool(part.among.all()) == (shots > 1)
        assert bool(part.among[part.labels].all())


def test_noise_for_a_second_encoder_is_not_taken_for_knowledge() -> None:
    """With one image a class, leave-one-out by formulas that keep what the image did to other classes would name it right."""
    task = seen_twice(1, classes=24)
    noise = torch.from_numpy(np.random.default_rng(3).normal(size=(24, 1, 6))).float()
    views = torch.cat([task.support.views[..., :8], torch.nn.functional.normalize(noise, dim=-1)], -1)
    found = list(left_out(replace(task, support=replace(task.support, views=views)), OPTIONS))
    logits, labels = zip(*(part.by(1) for part in found), strict=True)
    right = sum(int((one.argmax(1) == of).sum()) for one, of in zip(logits, labels, strict=True))
    assert right < 12


def test_two_classes_with_an_image_each_show_nothing() -> None:
    task = replace(seen_twice(1, classes=2), validation=None)
    assert list(left_out(task, OPTIONS)) == []
