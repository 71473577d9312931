"""ProKeR, alone and with CLAP, against NumPy: kernel ridge regression as its dual problem is written, and two steps of training."""

from __future__ import annotations

import numpy as np
import pytest

from tests.worlds.few_shot import SCALE
from tests.worlds.small_task import Array, close, cross_entropy, double, queries, slopes, small_task, unit
from xmap.stages.fewshot.task import FewShotTask
from xmap.stages.methods import clap, proker, proker_clap
from xmap.stages.methods.options import ProkerClapOptions, ProkerOptions
from xmap.stages.methods.protocol import Cache, NoLog


def kernel(left: Array, right: Array, beta: float) -> Array:
    return np.asarray([[np.exp(-beta * (1 - row @ key)) for key in right] for row in left])


def added(task: FewShotTask, features: Array, weights: Array, beta: float, ridge: float) -> Array:
    """What the kernel adds to the cosines of unit class weights, with an inverse in place of a factor."""
    keys, labels = double(task.support.keys), task.support.labels.numpy()
    wrong = np.eye(len(weights))[labels] - keys @ weights.T
    inverse = np.linalg.inv(kernel(keys, keys, beta) / ridge + np.eye(len(keys)))
    return kernel(features, keys, beta) @ inverse @ wrong


@pytest.mark.parametrize(("counts", "views"), [([3, 3, 3], 1), ([3, 1, 2], 4), ([1, 0, 1], 2)])
def test_logits_are_the_published_ones(counts: list[int], views: int) -> None:
    task = small_task(counts, views=views)
    fitted = proker.fit(task, ProkerOptions(), {"beta": 2.6, "ridge": 0.05}, NoLog())
    asked, texts = queries(task), double(task.text.weights)
    features = double(asked.features)
    image = added(task, features, texts, 2.6, 0.05)
    found = proker.scores(fitted, Cache(task.text, task.support.segments), asked.features)
    close(found.logits, SCALE * (features @ texts.T + image))
    assert found.image is not None
    close(found.image, image)


def test_it_is_the_best_of_all_functions_near_the_texts() -> None:
    """The coefficients over ridge minimise the squared error on the support plus ridge times the norm in the kernel's space."""
    task, beta, ridge = small_task([2, 1, 2]), 2.0, 0.3
    keys, texts = double(task.support.keys), double(task.text.weights)
    wrong = np.eye(3)[task.support.labels.numpy()] - keys @ texts.T
    own = kernel(keys, keys, beta)

    def loss(dual: Array) -> float:
        return float(((wrong - own @ dual) ** 2).sum() + ridge * np.trace(dual.T @ own @ dual))

    found = double(proker.fit(task, ProkerOptions(), {"beta": beta, "ridge": ridge}, NoLog()).tensors["coefficients"])
    assert np.abs(slopes(loss, found / ridge)).max() < 1e-4


@pytest.mark.parametrize(("shots", "expected"), [(1, (3.0, 0.05)), (3, (1.5, 0.05)), (6, (1.66, 0.07)), (64, (1.7, 0.1))])
def test_without_validation_the_released_settings_of_the_nearest_shots_hold(shots: int, expected: tuple[float, float]) -> None:
    task = small_task([shots, shots])
    fitted = proker.fit(task, ProkerOptions(), None, NoLog())
    assert (fitted.settings["beta"], fitted.settings["ridge"]) == expected
    own = proker.fit(task, ProkerOptions(beta=9.0), None, NoLog()).settings
    assert own == {"beta": 9.0, "ridge": expected[1]}


def test_two_steps_with_clap() -> None:
    task, beta, ridge = small_task([2, 1, 3]), 1.5, 0.05
    keys, labels, texts = double(task.support.keys), task.support.labels.numpy(), double(task.text.weights)
    multipliers = double(clap.class_multipliers(task))

    def step(weights: Array) -> Array:
        image = added(task, keys, unit(weights), beta, ridge)

        def loss(moved: Array) -> float:
            distance = ((moved - texts) ** 2).sum(axis=1)
            return cross_entropy(SCALE * (keys @ unit(moved).T + image), labels) + 7.0 * float(np.mean(multipliers * distance))

        return slopes(loss, weights)

    weights, mean, square, decay = texts, np.zeros_like(texts), np.zeros_like(texts), 0.01
    for done, rate in enumerate((1e-2, 0.5e-2), start=1):
        slope = step(weights)
        mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
        weights = weights * (1 - rate * decay)
        weights = weights - rate * (mean / (1 - 0.9**done)) / (np.sqrt(square / (1 - 0.999**done)) + 1e-8)
    options = ProkerClapOptions(min_steps=2, batch_size=6, learning_rate=1e-2, strength=7.0, beta=beta, ridge=ridge)
    fitted = proker_clap.fit(task, options, None, NoLog())
    close(fitted.tensors["weights"], weights, 1e-4)
    asked = queries(task)
    features, trained = double(asked.features), unit(double(fitted.tensors["weights"]))
    found = proker_clap.scores(fitted, Cache(task.text, task.support.segments), asked.features)
    close(found.logits, SCALE * (features @ trained.T + added(task, features, trained, beta, ridge)))
