"""The protocol of a method, and what a fitted one is.

A method is a module with two functions. `fit` sees a `FewShotTask`, which holds no test features, and returns plain tensors
and settings; `scores` turns those and any unit features into logits. Nothing else is stored, so an adapter on disk is
tensors and JSON.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from torch import Tensor

from xmap.stages.fewshot.task import FewShotTask, KeyIndex, Retrieved, Segments, Text
from xmap.stages.fewshot.wide import Widths
from xmap.stages.methods.registry import METHODS, MethodEntry, method_entry
from xmap.stages.plugins import Plugin
from xmap.store.errors import InputError

Settings = Mapping[str, float | int | str]


@dataclass(frozen=True)
class Selection:
    """What was chosen and on what: number of trials, validation accuracy (percent), and the grid each setting came from.

    `edges` names settings whose choice lies at the edge of its grid after widening.
    """

    selected_on: str
    trials: int = 0
    accuracy: float | None = None
    grid: Mapping[str, list[float]] = field(default_factory=dict)
    edges: tuple[str, ...] = ()


@dataclass(frozen=True)
class Calibration:
    """What logits are divided by before they become probabilities, and the samples that it was fitted on: how many, and in words."""

    temperature: float = 1.0
    samples: int = 0
    calibrated_on: str = "nothing (as trained)"


@dataclass(frozen=True)
class Fitted:
    """An adapter: its tensors, the settings its scores need, how they were chosen, and what makes its probabilities honest."""

    tensors: Mapping[str, Tensor]
    settings: Settings
    selection: Selection
    trainable_parameters: int = 0
    calibration: Calibration = Calibration()


@dataclass(frozen=True)
class Scores:
    """Logits (B, N) as trained, and where a method has caches their class sums (B, N) and the share of the image side (B,).

    Of several encoders `encoders` (E, B, N) are each one's part of the logits, weighed by its share for each image: they add up to them.
    """

    logits: Tensor
    image: Tensor | None = None
    text: Tensor | None = None
    gamma: Tensor | None = None
    encoders: Tensor | None = None


@dataclass(frozen=True)
class Cache:
    """What scores need beside an adapter's own tensors: the class texts, which key belongs to which class, and for an adapter
    without keys of its own the index that has them; of several encoders what `FewShotTask` says of them."""

    text: Text
    segments: Segments
    index: KeyIndex | None = None
    widths: Widths = ()
    more_texts: tuple[Text | None, ...] = ()

    @classmethod
    def of(cls, task: FewShotTask) -> Cache:
        return cls(task.text, task.segments, task.index, task.widths, task.more_texts)

    def to(self, device: str) -> Cache:
        """The same cache with its tensors on `device`."""
        more = tuple(text and text.to(device) for text in self.more_texts)
        return Cache(self.text.to(device), self.segments.to(device), self.index and self.index.to(device), self.widths, more)


class TrainLog(Protocol):
    """Receives one row a support sample and epoch: columns of equal length, `rows` numbering support samples."""

    def add(self, epoch: int, rows: Tensor, columns: Mapping[str, Tensor]) -> None:
        """Keep the rows of one batch."""


class NoLog:
    """Keeps nothing."""

    def add(self, epoch: int, rows: Tensor, columns: Mapping[str, Tensor]) -> None:
        """Drop the rows."""


class Method(Protocol):
    """What a method module offers."""

    def fit(self, task: FewShotTask, options: Any, settings: Settings | None, log: TrainLog) -> Fitted:
        """Fit on the support. Choices are made on `task.validation`; with `settings` given nothing is chosen."""

    def scores(self, fitted: Fitted, cache: Cache, features: Tensor, retrieved: Retrieved | None = None) -> Scores:
        """Score unit features (B, C)."""


class Foreign:
    """A method of another package: what its code raises names the package, and what it gives back is what it has declared."""

    def __init__(self, name: str, plugin: Plugin, entry: MethodEntry) -> None:
        self._name, self._plugin, self._contents = name, plugin, entry.contents
        with plugin.blamed("cannot be loaded"):
            self._module = importlib.import_module(entry.module)

    def fit(self, task: FewShotTask, options: Any, settings: Settings | None, log: TrainLog) -> Fitted:
        if task.widths:
            raise one_encoder_only(self._name)
        with self._plugin.blamed("failed in fit"):
            fitted = self._module.fit(task, options, settings, log)
        if not isinstance(fitted, Fitted):
            raise self._plugin.problem(f"gave {type(fitted).__name__} for a Fitted in fit")
        declared = () if self._contents is None else [variant.keys() for variant in self._contents.variants()]
        if "top_k" not in fitted.settings and fitted.tensors.keys() not in declared:
            raise self._plugin.problem(f"gave tensors that its contents do not declare: {', '.join(sorted(fitted.tensors)) or 'none'}")
        return fitted

    def scores(self, fitted: Fitted, cache: Cache, features: Tensor, retrieved: Retrieved | None = None) -> Scores:
        with self._plugin.blamed("failed in scores"):
            found = self._module.scores(fitted, cache, features, retrieved)
        # Sizes are compared as they are: made numbers, they would be fixed in what is traced.
        wanted = (features.shape[0], cache.text.classes)
        if not isinstance(found, Scores) or found.logits.dim() != len(wanted) or found.logits.shape != wanted:
            raise self._plugin.problem(f"gave no Scores with logits of {wanted[0]} x {wanted[1]} in scores")
        return found

    def index_queries(self, fitted: Fitted, features: Tensor) -> Tensor:
        with self._plugin.blamed("failed in index_queries"):
            return index_queries(self._module, fitted, features)


class OwnMethod:
    """A method of xmap: its module for one encoder, and for several what its entry names, else one sentence."""

    def __init__(self, name: str, entry: MethodEntry) -> None:
        self._name, self._several = name, entry.several
        self._module = cast(Method, importlib.import_module(entry.module))

    def fit(self, task: FewShotTask, options: Any, settings: Settings | None, log: TrainLog) -> Fitted:
        return self._of(task.widths).fit(task, options, settings, log)

    def scores(self, fitted: Fitted, cache: Cache, features: Tensor, retrieved: Retrieved | None = None) -> Scores:
        return self._of(cache.widths).scores(fitted, cache, features, retrieved)

    def index_queries(self, fitted: Fitted, features: Tensor) -> Tensor:
        return index_queries(self._module, fitted, features)

    def _of(self, widths: Widths) -> Method:
        if not widths:
            return self._module
        if self._several is None:
            raise one_encoder_only(self._name)
        return cast(Method, importlib.import_module(self._several).Ensemble(self._module))


def one_encoder_only(name: str) -> InputError:
    """What is wrong where a method that knows one encoder is given several."""
    known = ", ".join(other for other, entry in METHODS.items() if entry.several)
    return InputError(f"the method {name!r} takes one encoder, not several; choose one of {known}, or leave the other encoders out.")


def method(name: str) -> Method:
    """Load a method. Raises `UnknownName`, and `PluginError` for one of another package that cannot be used."""
    entry = method_entry(name)
    return OwnMethod(name, entry) if entry.plugin is None else Foreign(name, entry.plugin, entry)


def index_queries(module: object, fitted: Fitted, features: Tensor) -> Tensor:
    """Unit features (B, C) as queries to the adapter's own key index; a method whose keys live elsewhere maps them itself."""
    project: Callable[[Fitted, Tensor], Tensor] | None = getattr(module, "index_queries", None)
    return project(fitted, features) if project else features
