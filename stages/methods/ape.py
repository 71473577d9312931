"""APE (Zhu et al., ICCV 2023), training-free and with the given class texts alone: a cache over refined channels.

    criterion_d = -w mean over pairs of vectors of different classes of x_d y_d + (1 - w) var over classes of t_d
    f', K', t' = the best channels of f, K, t, normalised anew
    logits = s f W^T + alpha exp(-beta (1 - f' K'^T)) (L exp(gamma KL)),    KL_j = log2((1 + e) / (softmax(K'_j t'^T)_y + e))

The pairs run over class texts and keys together; their sum is |sum of all|^2 - sum over classes of |sum of a class|^2, which
needs no equal shots. Share of channels, alpha, beta and gamma are chosen on validation samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import normalize

from xmap.stages.fewshot.task import FewShotTask, Retrieved
from xmap.stages.methods.fitting.search import search
from xmap.stages.methods.maths.affinity import affinity, at_keys, class_sums, key_sums
from xmap.stages.methods.options import ApeOptions
from xmap.stages.methods.protocol import Cache, Fitted, Scores, Selection, Settings, TrainLog
from xmap.stages.methods.tip_adapter import alpha_scale, as_selection

EPSILON = 1e-6


def fit(task: FewShotTask, options: ApeOptions, settings: Settings | None, log: TrainLog) -> Fitted:
    """Refine the channels; choose their share and alpha, beta and gamma."""
    order = channel_order(task, options.similarity, with_keys=True)
    validation = task.validation
    if settings is not None or validation is None:
        fixed = {name: options.initial(name) for name in ("channels", "beta", "gamma")} | {
            "alpha": options.initial("alpha") * alpha_scale(task)
        }
        chosen = settings or fixed
        return Fitted(refine(task, order, float(chosen["channels"])), chosen, Selection(task.selected_on))
    features, labels = validation.features, validation.labels
    zero_shot = task.text.logits(features)

    @lru_cache(maxsize=1)
    def refined(share: float) -> tuple[dict[str, Tensor], Tensor]:
        tensors = refine(task, order, share)
        return tensors, index_queries_of(tensors, features) @ tensors["keys"].T

    @lru_cache(maxsize=1)
    def sums(share: float, beta: float, gamma: float) -> Tensor:
        tensors, similarity = refined(share)
        return class_sums(affinity(similarity, beta) * key_weights(tensors, gamma), task.support.segments)

    def logits(point: Mapping[str, float]) -> Tensor:
        return zero_shot + point["alpha"] * sums(point["channels"], point["beta"], point["gamma"])

    grids = {name: options.grid(name) for name in ("channels", "beta", "gamma")} | {"alpha": options.grid("alpha", alpha_scale(task))}
    choice = search(grids, labels, logits)
    return Fitted(refine(task, order, choice.values["channels"]), choice.values, as_selection(choice, task.selected_on))


def scores(fitted: Fitted, cache: Cache, features: Tensor, retrieved: Retrieved | None = None) -> Scores:
    """Zero-shot logits plus the weighted cache, over all keys or over retrieved ones."""
    chosen, tensors = fitted.settings, fitted.tensors
    similarity = index_queries(fitted, features) @ tensors["keys"].T if retrieved is None else retrieved.scores
    values = affinity(similarity, float(chosen["beta"])) * at_keys(key_weights(tensors, float(chosen["gamma"])), retrieved)
    image = key_sums(values, cache.segments, retrieved)
    return Scores(cache.text.logits(features) + float(chosen["alpha"]) * image, image)


def index_queries(fitted: Fitted, features: Tensor) -> Tensor:
    """Where queries (B, C) meet the keys: unit vectors (B, Q) over the refined channels."""
    return index_queries_of(fitted.tensors, features)


def index_queries_of(tensors: Mapping[str, Tensor], features: Tensor) -> Tensor:
    """The refined channels of features (B, C), as unit vectors (B, Q)."""
    return normalize(features[:, tensors["channels"]], dim=-1)


def key_weights(tensors: Mapping[str, Tensor], gamma: float) -> Tensor:
    """exp(gamma KL) (M,)."""
    return torch.exp(gamma * tensors["divergence"])


def refine(task: FewShotTask, order: Tensor, share: float) -> dict[str, Tensor]:
    """The best share of the channels, the keys (M, Q) there, and each key's divergence (M,) from its text prediction."""
    channels = order[: kept(len(order), share)]
    keys = normalize(task.support.keys[:, channels], dim=-1)
    texts = normalize(task.text.weights[:, channels], dim=-1)
    chances = torch.cat([(part @ texts.T).softmax(1) for part in torch.split(keys, 1024)])
    own = chances.gather(1, task.support.labels[:, None]).squeeze(1)
    return {"channels": channels, "keys": keys, "divergence": torch.log2((1.0 + EPSILON) / (own + EPSILON))}


def kept(width: int, share: float) -> int:
    """How many of `width` channels a share is, at least one."""
    return max(1, math.floor(share * width + 0.5))


def channel_order(task: FewShotTask, similarity: float, with_keys: bool) -> Tensor:
    """All channels, best first by the criterion over texts, or over texts and keys; float64, so that order is stable."""
    texts, support = task.text.weights.double(), task.support
    sums, counts = texts.clone(), torch.ones(len(texts), dtype=torch.float64, device=texts.device)
    if with_keys:
        sums.index_add_(0, support.labels, support.keys.double())
        counts = counts + support.segments.counts.double()
    pairs = float(counts.sum() ** 2 - counts.square().sum())
    shared = (sums.sum(0).square() - sums.square().sum(0)) / max(pairs, 1.0)
    variance = texts.var(0) if len(texts) > 1 else torch.zeros_like(shared)
    return torch.argsort((1.0 - similarity) * variance - similarity * shared, descending=True, stable=True)
