"""Tip-Adapter (Zhang et al., ECCV 2022): zero-shot logits plus the untrained image cache.

logits = s f W^T + alpha A L,    A = exp(-beta (1 - f K^T))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from xmap.stages.fewshot.task import FewShotTask, Labelled, Retrieved, Segments
from xmap.stages.methods.fitting.search import Choice, search
from xmap.stages.methods.maths.affinity import affinity, class_sums, sparse_class_sums
from xmap.stages.methods.options import TipAdapterOptions
from xmap.stages.methods.protocol import Cache, Fitted, Scores, Selection, Settings, TrainLog
from xmap.stages.methods.searched import Grid, MethodOptions


def fit(task: FewShotTask, options: TipAdapterOptions, settings: Settings | None, log: TrainLog) -> Fitted:
    """Choose alpha and beta on validation samples; keep the keys as they are, or where they are."""
    tensors = {} if task.index else {"keys": task.support.keys}
    kept = {"top_k": task.index.k} if task.index else {}
    if settings is None and task.validation is not None:
        choice = search_cache(task, options, task.support.keys, task.validation)
        return Fitted(tensors, {**choice.values, **kept}, as_selection(choice, task.selected_on))
    fixed = settings or {"alpha": options.initial("alpha") * alpha_scale(task), "beta": options.initial("beta")}
    return Fitted(tensors, {**fixed, **kept}, Selection(task.selected_on))


def scores(fitted: Fitted, cache: Cache, features: Tensor, retrieved: Retrieved | None = None) -> Scores:
    """Zero-shot logits plus alpha times the class sums of the image affinities."""
    if retrieved is None and cache.index is not None:
        retrieved = cache.index.retrieve(features)
    image = image_sums(fitted, cache.segments, features, retrieved)
    return Scores(cache.text.logits(features) + float(fitted.settings["alpha"]) * image, image=image)


def image_sums(fitted: Fitted, segments: Segments, features: Tensor, retrieved: Retrieved | None) -> Tensor:
    """Class sums (B, N) of the image affinities, over all keys or over retrieved ones."""
    beta = float(fitted.settings["beta"])
    if retrieved is not None:
        return sparse_class_sums(retrieved.scores, retrieved.rows, beta, segments)
    return class_sums(affinity(features @ fitted.tensors["keys"].T, beta), segments)


def alpha_scale(task: FewShotTask) -> float:
    """What alpha is measured in: the cache's sum grows with the shots, the logits it joins with the logit scale."""
    return task.text.logit_scale / 100.0 * 16.0 / max(task.support.shots, 1)


def search_cache(task: FewShotTask, options: MethodOptions, keys: Tensor, validation: Labelled) -> Choice:
    """Search alpha and beta of an image cache on validation samples: over all `keys`, or where the task has an index
    over those that it finds."""
    zero_shot = task.text.logits(validation.features)
    sums = _memory(_sums_of(task, keys, validation.features))

    def logits(point: Mapping[str, float]) -> Tensor:
        return zero_shot + point["alpha"] * sums(point["beta"])

    return search(cache_grids(task, options), validation.labels, logits)


def cache_grids(task: FewShotTask, options: MethodOptions) -> dict[str, Grid]:
    """What is searched for beta and alpha of an image cache."""
    return {"beta": options.grid("beta"), "alpha": options.grid("alpha", alpha_scale(task))}


def _sums_of(task: FewShotTask, keys: Tensor, features: Tensor) -> Callable[[float], Tensor]:
    """Class sums (B, N) for any beta, from similarities that are computed, or keys that are retrieved, once."""
    if task.index is not None:
        found = task.index.retrieve(features)
        return lambda beta: sparse_class_sums(found.scores, found.rows, beta, task.segments)
    similarity = features @ keys.T
    return lambda beta: class_sums(affinity(similarity, beta), task.segments)


def as_selection(choice: Choice, selected_on: str, more_trials: int = 0) -> Selection:
    """A choice as the record kept in the adapter."""
    return Selection(selected_on, choice.trials + more_trials, choice.accuracy, choice.grid, choice.edges)


def _memory(compute: Callable[[float], Tensor]) -> Callable[[float], Tensor]:
    """Remember the last value only: the grid runs over alpha inside beta."""
    last: dict[float, Tensor] = {}

    def remembered(key: float) -> Tensor:
        if key not in last:
            last.clear()
            last[key] = compute(key)
        return last[key]

    return remembered
