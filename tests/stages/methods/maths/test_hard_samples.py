"""Disagreement of the two caches, the weights that follow, and what both are measured by: against loops over samples and classes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.worlds.small_task import small_task
from xmap.stages.fewshot.task import FewShotTask, Segments
from xmap.stages.methods.maths.hard_samples import MEANS, Means, OnlineWeights, disagreement, sample_weights
from xmap.stages.methods.protocol import Cache, Fitted, NoLog, method
from xmap.stages.methods.registry import method_entry

BOTH = ("xmadapter", "xmadapter-paper", "tip-x")
SUPPORTS = [(3, 3, 3), (1, 1, 1), (4, 1, 2), (2, 2, 2, 2), (5, 0, 3)]


def sides(rows: int = 6, classes: int = 4, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    return torch.rand(rows, classes, generator=random), 3.0 * torch.rand(rows, classes, generator=random)


def test_disagreement_is_the_mean_difference_of_relative_sides() -> None:
    image, text = sides()
    means = Means(0.4, 1.3)
    expected = [np.mean([abs(float(image[i, c]) / 0.4 - float(text[i, c]) / 1.3) for c in range(4)]) for i in range(6)]
    np.testing.assert_allclose(disagreement(image, text, means).numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("rows", [[0], [5, 0], [1, 2, 3], [3], [4, 2]])
def test_a_sample_disagrees_alike_in_every_company(rows: list[int]) -> None:
    image, text = sides()
    means = Means.over([(image, text)])
    together = disagreement(image, text, means)
    assert torch.equal(disagreement(image[rows], text[rows], means), together[rows])


@pytest.mark.parametrize("size", [1, 2, 4, 6])
def test_means_do_not_depend_on_the_parts(size: int) -> None:
    image, text = sides()
    found = Means.over(zip(image.split(size), text.split(size), strict=True))
    assert (found.image, found.text) == (pytest.approx(float(image.mean())), pytest.approx(float(text.mean())))
    assert Means.kept(found.settings) == found


def fitted_on(name: str, counts: tuple[int, ...]) -> tuple[FewShotTask, Fitted]:
    task = small_task(counts)
    quick = {"xmadapter": {"epochs": 2, "min_steps": 4}, "xmadapter-paper": {"epochs": 2}}
    return task, method(name).fit(task, method_entry(name).options(**quick.get(name, {})), None, NoLog())


@pytest.mark.parametrize("counts", SUPPORTS)
@pytest.mark.parametrize("name", BOTH)
def test_the_image_mean_of_an_adapter_is_that_of_its_support_each_image_without_its_own_key(name: str, counts: tuple[int, ...]) -> None:
    """Slowly: a cache without the image, once for each image."""
    task, fitted = fitted_on(name, counts)
    support, total, found = task.support, len(task.support), []
    for row in range(total):
        rest = torch.tensor([other for other in range(total) if other != row])
        tensors = {label: values[rest] if label in ("keys", "log_partition") else values for label, values in fitted.tensors.items()}
        segments = Segments.of(support.labels[rest], support.classes, support.shots)
        scores = method(name).scores(replace(fitted, tensors=tensors), Cache(task.text, segments), support.keys[row : row + 1])
        assert scores.image is not None
        found.append(scores.image.detach().double().numpy())
    assert float(fitted.settings["mean_image"]) == pytest.approx(np.mean(found), rel=1e-4)


@pytest.mark.parametrize("name", BOTH)
def test_an_adapter_keeps_the_means_of_its_own_support_and_not_those_it_was_chosen_with(name: str) -> None:
    task, alone = fitted_on(name, (3, 3, 3))
    given = {**alone.settings, **dict.fromkeys(MEANS, 99.0)}
    quick = {"xmadapter": {"epochs": 2, "min_steps": 4}, "xmadapter-paper": {"epochs": 2}}
    again = method(name).fit(task, method_entry(name).options(**quick.get(name, {})), given, NoLog())
    assert {name: again.settings[name] for name in MEANS} == {name: alone.settings[name] for name in MEANS}


def test_online_weights_are_those_of_the_sides_met_in_the_epoch_before() -> None:
    (first, text), (second, _), (third, _) = (sides(seed=seed) for seed in range(3))
    online = OnlineWeights(first, text, 2.0)
    start = disagreement(first, text, Means.over([(first, text)]))
    means = [Means.over([(first, text)]), replace(Means.over([(second, text)]), text=Means.over([(first, text)]).text)]
    torch.testing.assert_close(online.difference, start)
    for met, by in zip((second, third), means, strict=True):
        for rows in (torch.tensor([4, 0, 2]), torch.tensor([1, 5, 3])):
            online.meet(rows, met[rows])
            torch.testing.assert_close(online.weights, sample_weights(online.difference, 2.0))
        online.renew()
        torch.testing.assert_close(online.difference, disagreement(met, text, by))
        torch.testing.assert_close(online.weights, sample_weights(disagreement(met, text, by), 2.0))
