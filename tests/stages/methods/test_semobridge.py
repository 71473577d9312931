"""SeMoBridge and SeMoBridge-T against NumPy: the way back through the projection, the three terms, and two steps of training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.worlds.few_shot import SCALE
from tests.worlds.small_task import Array, close, cross_entropy, double, queries, slopes, small_task, softmax, unit
from xmap.stages.fewshot.task import FewShotTask, Unprojected
from xmap.stages.methods import semobridge, semobridge_t
from xmap.stages.methods.options import SemobridgeOptions, SemobridgeTOptions
from xmap.stages.methods.protocol import Cache, NoLog, Settings
from xmap.store.errors import InputError

POINT = {"sharpness": 2.0, "bridged_keys": 0.7, "bridged_queries": 0.4, "smoothness": 0.3}


def projection_of(task: FewShotTask) -> Array:
    assert task.text.unprojected is not None
    return double(task.text.unprojected.projection)


def inverse_by_parts(projection: Array) -> Array:
    """The pseudo-inverse, direction by direction."""
    left, values, right = np.linalg.svd(projection, full_matrices=False)
    return sum((np.outer(right[one], left[:, one]) / values[one] for one in range(len(values)) if values[one] > 0.3), np.zeros((6, 7)))


def expected(task: FewShotTask, features: Array, way: Array, bias: Array, length: float = 1.0, point: Settings = POINT) -> Array:
    """The logits, sample by sample and class by class; `way` (C, E) and `bias` (N, E) lead back."""
    keys, labels, texts, projection = double(task.support.keys), task.support.labels.numpy(), double(task.text.weights), projection_of(task)
    carried = unit(length * keys @ way + bias[labels]) @ projection
    seen = sorted(set(labels.tolist()))
    means = {label: unit(keys[labels == label].mean(axis=0)[None])[0] for label in seen}
    prompts = np.zeros_like(texts)
    for label in seen:
        prompts[label] = unit(carried[labels == label].mean(axis=0)[None])[0]
    sharp = lambda cosine: np.exp(-point["sharpness"] * (1 - cosine))  # noqa: E731 (as the formula has it)
    logits = np.zeros((len(features), len(texts)))
    for row, feature in enumerate(features):
        shares = softmax((prompts @ feature)[None])[0]
        bridged = unit(((length * feature @ way + shares @ bias) @ projection)[None])[0]
        image = {}
        for label in seen:
            doubt = np.exp(point["smoothness"] * -np.log2(softmax((texts @ means[label])[None])[0][label]))
            image[label] = doubt * (
                point["bridged_keys"] * sharp(prompts[label] @ feature) + point["bridged_queries"] * sharp(bridged @ means[label])
            )
        for label in range(len(texts)):
            logits[row, label] = SCALE * (sharp(texts[label] @ feature) + image.get(label, np.mean(list(image.values()))))
    return logits


@pytest.mark.parametrize(("counts", "views"), [([3, 3, 3], 1), ([3, 1, 2], 4), ([2, 0, 3], 2)])
def test_logits_are_those_of_the_formula(counts: list[int], views: int) -> None:
    task = small_task(counts, views=views)
    fitted = semobridge.fit(task, SemobridgeOptions(), POINT, NoLog())
    asked = queries(task)
    found = semobridge.scores(fitted, Cache(task.text, task.support.segments), asked.features)
    way = inverse_by_parts(projection_of(task))
    close(found.logits, expected(task, double(asked.features), way, np.zeros((len(counts), 7))), 1e-4)


def test_weak_directions_of_the_projection_do_not_count() -> None:
    task = small_task([2, 2])
    left, _, right = np.linalg.svd(projection_of(task), full_matrices=False)
    weak = torch.from_numpy((left * np.asarray([3.0, 2.0, 1.0, 0.31, 0.29, 1e-9])) @ right).float()
    assert task.text.unprojected is not None
    inverse = semobridge.inverse_of(Unprojected(task.text.unprojected.features, weak))
    assert int(torch.linalg.matrix_rank(inverse)) == 4
    close(inverse @ weak, right[:4].T @ right[:4], 1e-4)


@pytest.mark.parametrize("counts", [[3, 1, 2], [2, 0, 1]])
def test_two_steps_of_training(counts: list[int]) -> None:
    task = small_task(counts, views=3)
    unprojected = task.text.unprojected
    assert unprojected is not None
    keys, labels, texts = double(task.support.keys), task.support.labels.numpy(), double(task.text.weights)
    projection, inner, seen = double(unprojected.projection), double(unprojected.features), sorted(set(labels.tolist()))
    length = float(np.linalg.norm(double(task.support.views), axis=2).mean())

    def means(rows: Array) -> Array:
        found = np.zeros((len(texts), rows.shape[1]))
        for label in seen:
            found[label] = unit(rows[labels == label].mean(axis=0)[None])[0]
        return found

    def loss(way: Array, bias: Array) -> float:
        carried = unit(length * keys @ way + bias[labels])
        projected = carried @ projection
        prompts, lengths = means(projected), np.linalg.norm(bias, axis=1)
        image = cross_entropy(SCALE * keys @ prompts.T, labels)
        text = cross_entropy(prompts[seen] @ texts.T, np.asarray(seen)) + cross_entropy(means(carried)[seen] @ inner.T, np.asarray(seen))
        agreement = cross_entropy(unit(projected) @ prompts.T, labels)
        return 0.5 * image + 0.25 * text + 0.1 * agreement + 0.1 * float(np.mean((lengths - lengths.mean()) ** 2))

    def slope(parts: list[Array], place: int, corner: float) -> Array:
        """By one of the two; at no bias at all the spread of lengths, a corner, has no slope."""

        def moved(part: Array) -> float:
            way, bias = [part if one == place else other for one, other in enumerate(parts)]
            return loss(way, bias) - corner * float(np.var(np.linalg.norm(bias, axis=1)))

        return slopes(moved, parts[place])

    found = [inverse_by_parts(projection), np.zeros((len(texts), 7))]
    moments = [[np.zeros_like(part), np.zeros_like(part)] for part in found]
    for done, corner in ((1, 0.1), (2, 0.0)):
        found, parts = [], found
        for place, part in enumerate(parts):
            gradient = slope(parts, place, corner)
            mean, square = 0.9 * moments[place][0] + 0.1 * gradient, 0.999 * moments[place][1] + 0.001 * gradient**2
            moments[place] = [mean, square]
            step = (mean / (1 - 0.9**done)) / (np.sqrt(square / (1 - 0.999**done)) + 1e-8)
            found.append(part * (1 - 1e-2 * 0.01) - 1e-2 * np.where(np.abs(gradient) < 1e-9, 0.0, step))
    fitted = semobridge_t.fit(task, SemobridgeTOptions(epochs=2, learning_rate=1e-2), None, NoLog())
    close(fitted.tensors["bridge"], length * found[0] @ projection, 1e-3)
    close(fitted.tensors["bias"], found[1] @ projection, 1e-3)
    asked = queries(task)
    logits = semobridge_t.scores(fitted, Cache(task.text, task.support.segments), asked.features).logits
    close(logits, expected(task, double(asked.features), found[0], found[1], length, fitted.settings), 1e-3)


@pytest.mark.parametrize("steps", [1, 7, 300])
def test_the_rate_rises_over_a_tenth_of_the_steps(steps: int) -> None:
    rates = [semobridge_t.warming(done, steps) for done in range(steps)]
    assert rates == sorted(rates)
    assert 0 < rates[0] <= rates[-1] == 1.0
    assert sum(rate < 1 for rate in rates) < max(1, steps / 10)


def test_features_without_a_text_tower_are_refused() -> None:
    task = small_task([2, 2])
    without = replace(task, text=replace(task.text, unprojected=None))
    for module, options, name in ((semobridge, SemobridgeOptions(), "semobridge"), (semobridge_t, SemobridgeTOptions(), "semobridge-t")):
        with pytest.raises(InputError, match=rf"^{name} goes back .* extract images with --data DIR and --model NAME"):
            module.fit(without, options, None, NoLog())
