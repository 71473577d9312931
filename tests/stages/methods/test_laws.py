"""What every registered method obeys, whatever its formula: the laws of `xmap.testing`, to which other packages hold theirs."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch

from xmap.stages.methods.protocol import Fitted, Scores, Selection, method
from xmap.stages.methods.registry import METHODS, Contents, method_entry
from xmap.store.errors import InputError, UnknownName
from xmap.testing import LAWS, LawBroken, check_method


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", list(METHODS))
def test_every_method_obeys(name: str, law: str) -> None:
    check_method(name, [law])


# ---- laws that are broken


def broken(monkeypatch: pytest.MonkeyPatch, contents: Contents | None = None, **functions: Any) -> ModuleType:
    """A module of an entry whose method is Tip-Adapter but for these functions."""
    module: Any = ModuleType("broken")
    real: Any = method("tip-adapter")
    module.fit, module.scores = functions.get("fit", real.fit), functions.get("scores", real.scores)
    module.ENTRY = replace(
        method_entry("tip-adapter"), module="broken", contents=contents or Contents({"keys": ("M", "C")}, ("alpha", "beta"))
    )
    monkeypatch.setitem(sys.modules, "broken", module)
    return module


def test_a_module_is_held_to_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    check_method(broken(monkeypatch))


def first_class(fitted: Any, cache: Any, features: Any, retrieved: Any = None) -> Scores:
    return Scores(torch.eye(cache.text.classes)[:1].repeat(len(features), 1) * 5)


def by_fit(fitted: Any, cache: Any, features: Any, retrieved: Any = None) -> Scores:
    return Scores(cache.text.logits(features) + torch.rand(cache.text.classes))


def nan(fitted: Any, cache: Any, features: Any, retrieved: Any = None) -> Scores:
    return Scores(cache.text.logits(features) * float("nan"))


@pytest.mark.parametrize(
    ("scores", "law"),
    [
        (first_class, "permuting classes permutes logits (2-2-2-2 shots)"),
        (by_fit, "the order of support rows changes nothing"),
        (by_fit, "an adapter is its tensors and settings"),
        (nan, "one class, one shot and uneven shots (1 shots)"),
        (first_class, "the selection says what it chose from"),
    ],
)
def test_a_law_that_is_broken_is_named(monkeypatch: pytest.MonkeyPatch, scores: Any, law: str) -> None:
    with pytest.raises(LawBroken) as told:
        check_method(broken(monkeypatch, scores=scores))
    assert law in told.value.broken
    assert law in str(told.value)


def chooses(task: Any, options: Any, settings: Any, log: Any) -> Fitted:
    return Fitted({"keys": task.support.keys}, {"alpha": float(torch.rand(1)), "beta": 1.0}, Selection("all", 3, 50.0))


def test_settings_that_are_chosen_again_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LawBroken, match="it made 3 trials") as told:
        check_method(broken(monkeypatch, fit=chooses), ["given settings are kept and nothing is chosen"])
    assert isinstance(told.value, AssertionError)


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        (Contents({}), "its tensors are keys, not none"),
        (Contents({"keys": ("N", "C")}), "its tensor keys is 6 x 6, not 3 x 6"),
        (Contents({"keys": ("M", "C")}, ("alpha", "gamma")), "it lacks the setting gamma"),
    ],
)
def test_contents_that_are_not_so_are_told(monkeypatch: pytest.MonkeyPatch, contents: Contents, said: str) -> None:
    with pytest.raises(LawBroken, match=said):
        check_method(broken(monkeypatch, contents), ["an adapter holds what its method declares"])


def test_only_methods_are_held_to_them() -> None:
    with pytest.raises(UnknownName, match="unknown method 'tip'"):
        check_method("tip")
    with pytest.raises(InputError, match="holds 0 MethodEntry, not one"):
        check_method(ModuleType("empty"))


def raises(task: Any, options: Any, settings: Any, log: Any) -> Fitted:
    raise ZeroDivisionError("by its author")


def test_what_a_method_raises_is_told_and_stays_to_be_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LawBroken, match="it raised ZeroDivisionError: by its author") as told:
        check_method(broken(monkeypatch, fit=raises))
    assert told.value.broken.keys() == LAWS.keys()
    assert isinstance(told.value.__cause__, ZeroDivisionError)
