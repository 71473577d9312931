"""What every method obeys, whatever its formula: for those who write one.

    from xmap.testing import check_method
    check_method("nearest-mean")      # an installed method, or the module that holds its `MethodEntry`

Each law is tried on small random tasks. `LAWS` are their names, of which `check_method` takes some, so that a test each may be made.
"""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from types import ModuleType
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from xmap.stages.adapters.contents import CONTENTS, misfit_of
from xmap.stages.fewshot.task import FewShotTask, Labelled, Support, Text, Unprojected
from xmap.stages.methods.fitting.temperature import fit_temperature
from xmap.stages.methods.protocol import Cache, Fitted, Method, NoLog, Selection, Settings, method
from xmap.stages.methods.registry import MethodEntry, method_entry
from xmap.store.errors import InputError, XmapError

__all__ = ["LAWS", "LawBroken", "check_method", "small_task"]

# Two epochs at a rate at which their draws matter.
QUICK = {"epochs": 2, "min_steps": 2, "learning_rate": 0.02}
WIDTH, SCALE = 6, 20.0
ORDER = (2, 0, 3, 1)


class LawBroken(XmapError, AssertionError):
    """A method does not obey laws that all methods obey."""

    def __init__(self, method: str, broken: Mapping[str, str]) -> None:
        self.method, self.broken = method, dict(broken)
        super().__init__(f"the method {method!r} breaks laws: {'; '.join(f'{law}: {problem}' for law, problem in broken.items())}.")


def check_method(name_or_module: str | ModuleType, laws: Iterable[str] = ()) -> None:
    """Hold a method to the `laws` that are named, or to all. Raises `LawBroken`; `UnknownName` and `PluginError`, as any use of it."""
    subject, broken, first = _Subject.of(name_or_module), {}, None
    for law in laws or LAWS:
        try:
            problem = LAWS[law](subject)
        except Exception as error:
            first, problem = first or error, f"it raised {type(error).__name__}: {error}"
        if problem:
            broken[law] = problem
    if broken:
        raise LawBroken(subject.name, broken) from first


@dataclass(frozen=True)
class _Subject:
    """The method that is tried."""

    name: str
    entry: MethodEntry
    module: Method

    @classmethod
    def of(cls, given: str | ModuleType) -> _Subject:
        if isinstance(given, str):
            return cls(given, method_entry(given), method(given))
        entries = [value for value in vars(given).values() if isinstance(value, MethodEntry)]
        if len(entries) != 1:
            raise InputError(f"the module {given.__name__} holds {len(entries)} MethodEntry, not one; give that of an entry point.")
        return cls(given.__name__, entries[0], cast(Method, importlib.import_module(entries[0].module)))

    def fit(self, task: FewShotTask, settings: Settings | None = None) -> Fitted:
        fields = self.entry.options.model_fields
        options = self.entry.options(**{field: value for field, value in QUICK.items() if field in fields})
        return self.module.fit(task, options, settings, NoLog())

    def scores(self, fitted: Fitted, task: FewShotTask, features: Tensor) -> Tensor:
        return self.module.scores(fitted, Cache(task.text, task.support.segments), features).logits.detach()

    def logits(self, task: FewShotTask, features: Tensor) -> Tensor:
        return self.scores(self.fit(task), task, features)


# ---- small random tasks


def random_text(classes: int, width: int, random: np.random.Generator) -> Text:
    """Unit texts of classes whose names say nothing, with what a text tower one wider would give before its projection."""
    own = np.random.default_rng(classes)
    projection = torch.from_numpy(own.normal(size=(width + 1, width)).astype(np.float32))
    unprojected = Unprojected(_unit(own.normal(size=(classes, width + 1))), projection)
    return Text(
        tuple(f"class {label}" for label in range(classes)), _unit(random.normal(size=(classes, width))), SCALE, unprojected=unprojected
    )


def random_support(counts: Sequence[int], width: int, random: np.random.Generator, shots: int | None = None, views: int = 1) -> Support:
    """A support with `counts[c]` samples of class c, whose ids say nothing about the class."""
    labels = random.permutation(np.repeat(np.arange(len(counts)), counts))
    ids = [f"{name:06d}" for name in random.permutation(1000)[: len(labels)]]
    vectors = torch.from_numpy(random.normal(size=(len(labels), views, width)).astype(np.float32))
    return Support.of(ids, torch.from_numpy(labels), vectors, shots or max(counts), len(counts))


def random_labelled(total: int, classes: int, width: int, random: np.random.Generator) -> Labelled:
    """Unit features of so many images, with labels at random."""
    labels = torch.from_numpy(random.integers(0, classes, total))
    return Labelled(tuple(f"query {number}" for number in range(total)), labels, _unit(random.normal(size=(total, width))))


def small_task(counts: Sequence[int], seed: int = 0, views: int = 1, validation: bool = False) -> FewShotTask:
    """A random task with `counts[c]` samples of class c."""
    random = np.random.default_rng(seed)
    text, support = random_text(len(counts), WIDTH, random), random_support(counts, WIDTH, random, views=views)
    held = random_labelled(12, len(counts), WIDTH, random) if validation else None
    return FewShotTask(text, support, held, seed, "validation" if validation else "nothing (fixed defaults)")


def queries(task: FewShotTask, total: int = 5, seed: int = 9) -> Labelled:
    """Images to score, which the task does not hold."""
    return random_labelled(total, task.text.classes, WIDTH, np.random.default_rng(seed))


def _unit(vectors: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy((vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32))


# ---- the laws: what is wrong, in words, or None

Law = Callable[..., str | None]


def _permuted_classes(subject: _Subject, counts: Sequence[int], validation: bool) -> str | None:
    task = small_task(counts, seed=3, views=2, validation=validation)
    features, place, taken = queries(task).features, torch.from_numpy(np.argsort(ORDER)), torch.tensor(ORDER)
    text, support = task.text, task.support
    moved = Support.of(support.sample_ids, place[support.labels], support.views, support.shots, support.classes)
    held = task.validation and replace(task.validation, labels=place[task.validation.labels])
    other = replace(task, text=text.take(taken), support=moved, validation=held)
    found, expected = subject.logits(other, features), subject.logits(task, features)[:, taken]
    same = bool(((found - expected).abs() <= 1e-3 * (expected.abs() + expected.abs().max())).all())
    return None if same else "classes in another order have other logits"


def _shuffled_support(subject: _Subject) -> str | None:
    task = small_task([3, 1, 2], seed=4, views=2, validation=True)
    support, features = task.support, queries(task).features
    shuffled = np.random.default_rng(0).permutation(len(support))
    ids, rows = [support.sample_ids[row] for row in shuffled], torch.from_numpy(shuffled)
    again = Support.of(ids, support.labels[rows], support.views[rows], support.shots, support.classes)
    same = torch.equal(subject.logits(replace(task, support=again), features), subject.logits(task, features))
    return None if same else "a second training, of the same samples given in another order, has other logits"


def _odd_supports(subject: _Subject, counts: Sequence[int], validation: bool) -> str | None:
    task = small_task(counts, seed=5, validation=validation)
    found = subject.logits(task, queries(task).features)
    if tuple(found.shape) != (5, len(counts)):
        return f"logits of 5 images and {len(counts)} classes have the shape {tuple(found.shape)}"
    return None if bool(torch.isfinite(found).all()) else "logits are not finite"


def _restored(subject: _Subject) -> str | None:
    task = small_task([3, 1, 2], seed=6, views=2, validation=True)
    fitted, features = subject.fit(task), queries(task).features
    tensors = {key: torch.from_numpy(tensor.detach().numpy().copy()) for key, tensor in fitted.tensors.items()}
    restored = Fitted(tensors, json.loads(json.dumps(dict(fitted.settings))), Selection(""))
    same = torch.equal(subject.scores(restored, task, features), subject.scores(fitted, task, features))
    return None if same else "an adapter written and read again has other logits"


def _declared(subject: _Subject, validation: bool) -> str | None:
    task = small_task([3, 1, 2], seed=10, views=2, validation=validation)
    fitted, sizes = subject.fit(task), {"M": len(task.support), "N": task.text.classes, "C": WIDTH}
    known = subject.entry.contents or CONTENTS[subject.name]
    tensors = {name: tensor.detach().numpy() for name, tensor in fitted.tensors.items()}
    return misfit_of(known, subject.entry.retrieves, tensors, fitted.settings, sizes)


def _kept_settings(subject: _Subject) -> str | None:
    task = small_task([3, 1, 2], seed=7, validation=True)
    chosen = subject.fit(task)
    again, blind = subject.fit(task, chosen.settings), subject.fit(task.without_validation())
    if again.selection.trials or not _alike(again.settings, chosen.settings):
        return f"given the settings {dict(chosen.settings)} it made {again.selection.trials} trials and has {dict(again.settings)}"
    return None if (blind.selection.trials, blind.selection.accuracy) == (0, None) else "without validation samples it says that it chose"


def _alike(found: Settings, expected: Settings) -> bool:
    def same(one: object, other: object) -> bool:
        numbers = isinstance(one, int | float) and isinstance(other, int | float)
        return math.isclose(cast(float, one), cast(float, other), rel_tol=1e-6, abs_tol=1e-12) if numbers else one == other

    return found.keys() == expected.keys() and all(same(found[name], expected[name]) for name in found)


def _temperature(subject: _Subject, counts: Sequence[int]) -> str | None:
    task = small_task(counts, seed=9, validation=True)
    held = cast(Labelled, task.validation)
    found = subject.logits(task, held.features)
    fitted = fit_temperature(found, held.labels)
    for temperature in (fitted, 0.1, 10.0):
        chances = (found / temperature).softmax(1)
        if not torch.equal(chances.gather(1, found.argmax(1)[:, None]), chances.amax(1, keepdim=True)):
            return f"at the temperature {temperature:g} other classes are the most probable"
    same = torch.equal((found / fitted).softmax(1).argmax(1), found.argmax(1))
    return None if same else f"the fitted temperature {fitted:g} changes answers"


def _said_selection(subject: _Subject) -> str | None:
    task = small_task([3, 3, 3], seed=8, validation=True)
    held, fitted = cast(Labelled, task.validation), subject.fit(task)
    chosen = fitted.selection
    if not chosen.trials:
        return None
    right = 100 * float((subject.scores(fitted, task, held.features).argmax(1) == held.labels).float().mean())
    if chosen.accuracy is None or not math.isclose(chosen.accuracy, right, rel_tol=1e-6):
        return f"it says that it chose by {chosen.accuracy} % of the validation samples, and has {right} % right"
    outside = [name for name, values in chosen.grid.items() if fitted.settings[name] not in values]
    return f"it has settings that are not in their grids: {', '.join(outside)}" if outside else None


EITHER = (False, True)
EVEN: tuple[list[int], ...] = ([2, 2, 2, 2], [3, 1, 2, 4])
ODD: tuple[list[int], ...] = ([3], [1], [1, 1, 1], [4, 1, 2], [2, 0, 3])
# Each law, and the tasks that it is tried on.
_TRIED: Mapping[str, tuple[Law, Mapping[str, Sequence[Any]]]] = {
    "permuting classes permutes logits": (_permuted_classes, {"counts": EVEN, "validation": EITHER}),
    "the order of support rows changes nothing": (_shuffled_support, {}),
    "one class, one shot and uneven shots": (_odd_supports, {"counts": ODD, "validation": EITHER}),
    "an adapter is its tensors and settings": (_restored, {}),
    "an adapter holds what its method declares": (_declared, {"validation": EITHER}),
    "given settings are kept and nothing is chosen": (_kept_settings, {}),
    "a temperature changes no answer": (_temperature, {"counts": EVEN}),
    "the selection says what it chose from": (_said_selection, {}),
}


def _cases(name: str, law: Law, given: Mapping[str, Sequence[Any]]) -> Iterable[tuple[str, Law]]:
    for values in product(*given.values()):
        case = dict(zip(given, values, strict=True))
        shots = "-".join(map(str, case.get("counts", ())))
        said = [f"{shots} shots"] * bool(shots) + ["validation"] * bool(case.get("validation"))
        yield (f"{name} ({', '.join(said)})" if said else name), partial(law, **case)


LAWS: Mapping[str, Law] = {case: law for name, (law, given) in _TRIED.items() for case, law in _cases(name, law, given)}
