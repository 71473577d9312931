"""What methods do with several encoders, whatever their formula."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.worlds.two_encoders import alone, seen_twice, shuffled, with_encoders
from xmap.stages.adapters.contents import misfit
from xmap.stages.fewshot.task import FewShotTask, KeyIndex, Support, Text
from xmap.stages.methods.protocol import Cache, Fitted, NoLog, Scores, method
from xmap.stages.methods.registry import METHODS, method_entry
from xmap.store.errors import InputError
from xmap.store.formats.index import VectorIndex
from xmap.testing import QUICK

SEVERAL = [name for name, entry in METHODS.items() if entry.several]


def fit(name: str, task: FewShotTask, settings: dict[str, float | int | str] | None = None) -> Fitted:
    fields = method_entry(name).options.model_fields
    options = method_entry(name).options(**{field: value for field, value in QUICK.items() if field in fields})
    return method(name).fit(task, options, settings, NoLog())


def scored(name: str, task: FewShotTask, fitted: Fitted | None = None) -> Scores:
    assert task.validation is not None
    return method(name).scores(fitted or fit(name, task), Cache.of(task), task.validation.features)


@pytest.mark.parametrize("name", SEVERAL)
@pytest.mark.parametrize("shots", [1, 3])
def test_a_second_encoder_that_is_a_copy_of_the_first_changes_no_answer(name: str, shots: int) -> None:
    task = seen_twice(shots)
    one, both = scored(name, alone(task)), scored(name, with_encoders(task, (0, 0)))
    assert torch.equal(one.logits.argmax(1), both.logits.argmax(1))


@pytest.mark.parametrize("name", SEVERAL)
def test_the_order_of_encoders_does_not_matter_up_to_the_first(name: str) -> None:
    task = with_encoders(seen_twice(2), (0, 1, 0), (None, Text(seen_twice(2).text.names, seen_twice(2).text.weights.flip(1), 7.0)))
    moved = with_encoders(task, (0, 2, 1), (task.more_texts[1], None))
    found, other = scored(name, task), scored(name, moved)
    torch.testing.assert_close(found.logits, other.logits, rtol=1e-4, atol=1e-4)
    assert found.encoders is not None
    assert other.encoders is not None
    torch.testing.assert_close(found.encoders[[0, 2, 1]], other.encoders, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", SEVERAL)
@pytest.mark.parametrize("shots", [1, 3])
def test_an_adapter_is_its_tensors_and_settings_and_says_what_it_chose(name: str, shots: int) -> None:
    task = seen_twice(shots)
    assert task.validation is not None
    fitted = fit(name, task)
    found = scored(name, task, fitted)
    assert found.encoders is not None
    torch.testing.assert_close(found.encoders.sum(0), found.logits)
    sizes = {"M": len(task.support), "N": task.text.classes, "C": sum(task.widths)}
    tensors = {key: tensor.detach().numpy() for key, tensor in fitted.tensors.items()}
    assert misfit(name, tensors, fitted.settings, sizes, task.widths) is None
    if tensors:
        wrong = {**tensors, max(tensors): np.zeros((2, 2, 2), np.float32)}
        assert misfit(name, wrong, fitted.settings, sizes, task.widths) is not None
    if fitted.selection.trials:
        right = 100 * float((found.logits.argmax(1) == task.validation.labels).double().mean())
        assert fitted.selection.accuracy == pytest.approx(right)
    assert all(key in fitted.settings for key in fitted.selection.grid)


@pytest.mark.parametrize("name", SEVERAL)
def test_given_settings_are_kept(name: str) -> None:
    task = seen_twice(3)
    chosen = fit(name, task)
    again = fit(name, task, dict(chosen.settings))
    assert again.selection.trials == 0
    assert dict(again.settings) == pytest.approx(dict(chosen.settings))
    torch.testing.assert_close(scored(name, task, again).logits, scored(name, task, chosen).logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", SEVERAL)
def test_permuting_classes_permutes_what_is_said(name: str) -> None:
    task = seen_twice(2, classes=5)
    assert task.validation is not None
    order = torch.tensor([3, 0, 4, 1, 2])
    place = torch.argsort(order)
    names = tuple(task.text.names[int(label)] for label in order)
    support = Support.of(task.support.sample_ids, place[task.support.labels], task.support.views, task.support.shots, 5)
    held = replace(task.validation, labels=place[task.validation.labels])
    moved = replace(task, text=Text(names, task.text.weights[order], task.text.logit_scale), support=support, validation=held)
    found, expected = scored(name, moved).logits, scored(name, task).logits[:, order]
    assert bool(((found - expected).abs() <= 2e-3 * (expected.abs() + expected.abs().max())).all())


@pytest.mark.parametrize("shots", [1, 3])
def test_a_second_encoder_that_knows_the_classes_helps_and_a_useless_one_has_no_say(shots: int) -> None:
    task = replace(seen_twice(shots, spread=0.6), validation=None)
    asked = seen_twice(shots, spread=0.6)
    assert asked.validation is not None
    labels, settings = asked.validation.labels, fit("xmadapter", task).settings
    one = (scored("xmadapter", alone(asked)).logits.argmax(1) == labels).sum()
    both = (scored("xmadapter", asked).logits.argmax(1) == labels).sum()
    assert both >= one
    assert float(settings["2.shown"]) > 0.2
    useless = fit("xmadapter", replace(shuffled(asked), validation=None)).settings
    assert float(useless["2.shown"]) ** 2 * float(useless["2.scale"]) < 0.1


@pytest.mark.parametrize("name", sorted(METHODS.keys() - set(SEVERAL)))
def test_other_methods_take_one_encoder_and_say_so(name: str) -> None:
    with pytest.raises(InputError, match=f"'{name.replace('+', '.')}' takes one encoder, not several; choose one of zero-shot, "):
        method(name).fit(seen_twice(1), method_entry(name).options(), None, NoLog())


def test_keys_in_an_index_are_not_compared_encoder_by_encoder() -> None:
    task = seen_twice(2)
    index = KeyIndex(VectorIndex.build(task.support.keys.numpy(), "Flat"), task.segments, 3)
    with pytest.raises(InputError, match="leave out --top-k, or take one encoder"):
        fit("tip-adapter", replace(task, index=index))
