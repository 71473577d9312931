"""What every registered method obeys, whatever its formula."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.worlds.small_task import queries, small_task
from xmap.stages.fewshot.task import FewShotTask, Labelled, Support, Text
from xmap.stages.methods.fitting.temperature import fit_temperature
from xmap.stages.methods.protocol import Cache, Fitted, NoLog, Selection, method
from xmap.stages.methods.registry import METHODS, method_entry

# Two epochs at a rate at which their draws matter.
QUICK = {"epochs": 2, "min_steps": 2, "learning_rate": 0.02}
every_method = pytest.mark.parametrize("name", list(METHODS))


def fit(name: str, task: FewShotTask, settings: Mapping[str, float | int | str] | None = None) -> Fitted:
    fields = METHODS[name].options.model_fields
    quick = {field: value for field, value in QUICK.items() if field in fields}
    return method(name).fit(task, method_entry(name).options(**quick), settings, NoLog())


def logits(name: str, task: FewShotTask, features: Tensor) -> Tensor:
    return method(name).scores(fit(name, task), Cache(task.text, task.support.segments), features).logits.detach()


def renumbered(task: FewShotTask, order: np.ndarray) -> FewShotTask:
    """The task whose class c is class `order[c]` of `task`."""
    place, taken = torch.from_numpy(np.argsort(order)), torch.from_numpy(order)
    text, support = task.text, task.support
    names = tuple(text.names[label] for label in order)
    moved = Support.of(support.sample_ids, place[support.labels], support.views, support.shots, support.classes)
    held = task.validation and replace(task.validation, labels=place[task.validation.labels])
    return replace(task, text=Text(names, text.weights[taken], text.logit_scale), support=moved, validation=held)


@every_method
@pytest.mark.parametrize("validation", [False, True])
@pytest.mark.parametrize("counts", [[2, 2, 2, 2], [3, 1, 2, 4]])
def test_permuting_classes_permutes_logits(name: str, validation: bool, counts: list[int]) -> None:
    task = small_task(counts, seed=3, views=2, validation=validation)
    order, features = np.asarray([2, 0, 3, 1]), queries(task).features
    found, expected = logits(name, renumbered(task, order), features), logits(name, task, features)[:, order]
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


@every_method
def test_the_order_of_support_rows_changes_nothing(name: str) -> None:
    task = small_task([3, 1, 2], seed=4, views=2, validation=True)
    support, features = task.support, queries(task).features
    shuffled = np.random.default_rng(0).permutation(len(support))
    ids, rows = [support.sample_ids[row] for row in shuffled], torch.from_numpy(shuffled)
    again = Support.of(ids, support.labels[rows], support.views[rows], support.shots, support.classes)
    assert torch.equal(logits(name, replace(task, support=again), features), logits(name, task, features))


@every_method
@pytest.mark.parametrize("validation", [False, True])
@pytest.mark.parametrize("counts", [[3], [1], [1, 1, 1], [4, 1, 2], [2, 0, 3]])
def test_one_class_one_shot_and_uneven_shots(name: str, validation: bool, counts: list[int]) -> None:
    task = small_task(counts, seed=5, validation=validation)
    found = logits(name, task, queries(task).features)
    assert found.shape == (5, len(counts))
    assert torch.isfinite(found).all()


@every_method
def test_an_adapter_is_its_tensors_and_settings(name: str) -> None:
    task = small_task([3, 1, 2], seed=6, views=2, validation=True)
    fitted, cache, features = fit(name, task), Cache(task.text, task.support.segments), queries(task).features
    tensors = {key: torch.from_numpy(tensor.detach().numpy().copy()) for key, tensor in fitted.tensors.items()}
    restored = Fitted(tensors, json.loads(json.dumps(dict(fitted.settings))), Selection(""))
    assert torch.equal(method(name).scores(restored, cache, features).logits, method(name).scores(fitted, cache, features).logits)


@every_method
def test_given_settings_are_kept_and_nothing_is_chosen(name: str) -> None:
    task = small_task([3, 1, 2], seed=7, validation=True)
    chosen = fit(name, task)
    again = fit(name, task, chosen.settings)
    assert again.selection.trials == 0
    assert dict(again.settings) == pytest.approx(dict(chosen.settings))
    blind = fit(name, task.without_validation())
    assert blind.selection.trials == 0
    assert blind.selection.accuracy is None


@every_method
@pytest.mark.parametrize("counts", [[2, 2, 2, 2], [3, 1, 2, 4]])
def test_a_temperature_changes_no_answer(name: str, counts: list[int]) -> None:
    task = small_task(counts, seed=9, validation=True)
    held = task.validation
    assert held is not None
    found = logits(name, task, held.features)
    for temperature in (fit_temperature(found, held.labels), 0.1, 10.0):
        chances = (found / temperature).softmax(1)
        assert torch.equal(chances.gather(1, found.argmax(1)[:, None]), chances.amax(1, keepdim=True))
    assert (found / fit_temperature(found, held.labels)).softmax(1).argmax(1).tolist() == found.argmax(1).tolist()


@every_method
def test_the_selection_says_what_it_chose_from(name: str) -> None:
    task = small_task([3, 3, 3], seed=8, validation=True)
    fitted = fit(name, task)
    if not fitted.selection.trials:
        return
    held = task.validation
    assert isinstance(held, Labelled)
    found = method(name).scores(fitted, Cache(task.text, task.support.segments), held.features).logits
    assert fitted.selection.accuracy == pytest.approx(100 * float((found.argmax(1) == held.labels).float().mean()))
    for setting, values in fitted.selection.grid.items():
        assert fitted.settings[setting] in values
