"""Tip-X (Udandarao et al., ICCV 2023) on few-shot support: Tip-Adapter and an affinity between zero-shot posteriors.

    p(x) = softmax(f W^T / T),    D_j = KL(p(query) || p(key j)), min-max rescaled to the range of f K^T
    logits = s f W^T + alpha exp(-beta (1 - f K^T)) L + gamma (h - D) L

Published is -D; adding h, the top of the range, to every key leaves predictions as they are and makes a class without
keys (or with none retrieved) the least likely instead of the most. The published ranges are those of the queries scored
together; here they are taken once, on the validation samples (on the support, without self-pairs, where there are none), so
a query's logits depend on no other query. KL needs no product over classes: sum_c p_c log q_jc = (p W) k_j / T - log Z_j.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor

from xmap.stages.fewshot.task import FewShotTask, Retrieved, Text
from xmap.stages.methods.fitting.search import search
from xmap.stages.methods.maths.affinity import affinity, at_keys, class_sums, key_sums, masked_class_sums
from xmap.stages.methods.maths.hard_samples import Means
from xmap.stages.methods.options import TipXOptions
from xmap.stages.methods.protocol import Cache, Fitted, Scores, Selection, Settings, TrainLog
from xmap.stages.methods.tip_adapter import alpha_scale, as_selection, cache_grids

CHUNK = 512


def fit(task: FewShotTask, options: TipXOptions, settings: Settings | None, log: TrainLog) -> Fitted:
    """Take the ranges and choose alpha, beta and gamma; keep the keys as they are."""
    fitted = _chosen(task, options, settings)
    return replace(fitted, settings={**fitted.settings, **support_means(task, fitted).settings})


def support_means(task: FewShotTask, fitted: Fitted) -> Means:
    """The means of both class sums over the support, each image without its own key."""
    support, chosen = task.support, {name: float(value) for name, value in fitted.settings.items()}

    def met(rows: Tensor) -> tuple[Tensor, Tensor]:
        queries = support.keys[rows]
        near = nearness(divergence(queries, task.text, fitted.tensors, chosen["temperature"]), chosen)
        image = affinity(queries @ support.keys.T, chosen["beta"])
        return masked_class_sums(image, rows, support.segments), masked_class_sums(near, rows, support.segments)

    return Means.over(met(rows) for rows in support.chunks(CHUNK))


def _chosen(task: FewShotTask, options: TipXOptions, settings: Settings | None) -> Fitted:
    keys, text, scale = task.support.keys, task.text, alpha_scale(task)
    tensors = {"keys": keys, "log_partition": log_partition(keys, text, options.temperature)}
    fixed = {"alpha": scale * options.initial("alpha"), "beta": options.initial("beta"), "gamma": scale * options.initial("gamma")}
    fixed["temperature"] = options.temperature
    validation = task.validation
    if settings is not None or validation is None:
        return Fitted(tensors, settings or {**fixed, **ranges(task, tensors, options.temperature)}, Selection(task.selected_on))
    scaling = ranges(task, tensors, options.temperature)
    similarity, zero_shot = validation.features @ keys.T, text.logits(validation.features)
    kl_sums = class_sums(nearness(divergence(validation.features, text, tensors, options.temperature), scaling), task.support.segments)

    @lru_cache(maxsize=1)
    def image_sums(beta: float) -> Tensor:
        return class_sums(affinity(similarity, beta), task.support.segments)

    def logits(point: Mapping[str, float]) -> Tensor:
        return zero_shot + point["alpha"] * image_sums(point["beta"]) + point["gamma"] * kl_sums

    grids = {**cache_grids(task, options), "gamma": options.grid("gamma", scale)}
    choice = search(grids, validation.labels, logits)
    return Fitted(tensors, {**fixed, **scaling, **choice.values}, as_selection(choice, task.selected_on))


def scores(fitted: Fitted, cache: Cache, features: Tensor, retrieved: Retrieved | None = None) -> Scores:
    """Zero-shot logits plus both caches' class sums, over all keys or over retrieved ones."""
    chosen = {name: float(value) for name, value in fitted.settings.items()}
    similarity = features @ fitted.tensors["keys"].T if retrieved is None else retrieved.scores
    image = key_sums(affinity(similarity, chosen["beta"]), cache.segments, retrieved)
    near = nearness(divergence(features, cache.text, fitted.tensors, chosen["temperature"]), chosen)
    text = key_sums(at_keys(near, retrieved), cache.segments, retrieved)
    return Scores(cache.text.logits(features) + chosen["alpha"] * image + chosen["gamma"] * text, image, text)


def divergence(features: Tensor, text: Text, tensors: Mapping[str, Tensor], temperature: float) -> Tensor:
    """KL (B, M) of the queries' posteriors from the keys', in chunks, in float64: it is a small difference of large terms."""
    keys, weights = tensors["keys"].double(), text.weights.double()
    parts = []
    for part in torch.split(features.double(), CHUNK):
        logs = (part @ weights.T / temperature).log_softmax(1)
        chances = logs.exp()
        cross = chances @ weights @ keys.T / temperature - tensors["log_partition"]
        parts.append(((chances * logs).sum(1, keepdim=True) - cross).float())
    return torch.cat(parts)


def log_partition(keys: Tensor, text: Text, temperature: float) -> Tensor:
    """log Z (M,) of the keys' posteriors, float64."""
    weights = text.weights.double()
    return torch.cat([(part @ weights.T / temperature).logsumexp(1) for part in torch.split(keys.double(), CHUNK)])


def nearness(divergences: Tensor, scaling: Mapping[str, float]) -> Tensor:
    """`h - D` with D the divergences rescaled from their range to that of the similarities."""
    spread = max(scaling["kl_high"] - scaling["kl_low"], 1e-12)
    share = (divergences - scaling["kl_low"]) / spread
    return (1.0 - share) * (scaling["similarity_high"] - scaling["similarity_low"])


def ranges(task: FewShotTask, tensors: Mapping[str, Tensor], temperature: float) -> dict[str, float]:
    """The ranges of KL and similarity over pairs of a query and a key."""
    keys, total = tensors["keys"], len(tensors["keys"])
    queries = task.support.keys if task.validation is None else task.validation.features
    if task.validation is None and total == 1:
        return {"kl_low": 0.0, "kl_high": 1.0, "similarity_low": 0.0, "similarity_high": 1.0}
    low = {"kl": float("inf"), "similarity": float("inf")}
    high = {"kl": -float("inf"), "similarity": -float("inf")}
    for start in range(0, len(queries), CHUNK):
        part = queries[start : start + CHUNK]
        allowed = torch.ones(len(part), total, dtype=torch.bool, device=keys.device)
        if task.validation is None:
            allowed[torch.arange(len(part)), torch.arange(start, start + len(part))] = False
        for name, values in (("kl", divergence(part, task.text, tensors, temperature)), ("similarity", part @ keys.T)):
            low[name] = min(low[name], float(values[allowed].min()))
            high[name] = max(high[name], float(values[allowed].max()))
    return {f"{name}_{side}": values[name] for name in low for side, values in (("low", low), ("high", high))}
