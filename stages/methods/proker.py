"""ProKeR (Bendou et al., CVPR 2025): what the texts get wrong on the support, learned by kernel ridge regression.

    k(x, y) = exp(-beta (1 - x . y)),    a = (k(K, K) / ridge + I)^-1 (L - K W^T)
    logits  = s (f W^T + k(f, K) a)

Cosines are taken without the logit scale s, beside targets of 0 and 1; published logits lack s, which changes no answer. The published
support is every augmented view; here a key is the unit mean of an image's views, as in the caches. beta and ridge are the released
settings of the shots (found on ImageNet, no validation samples needed), or are chosen on validation samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from xmap.stages.fewshot.task import FewShotTask, Retrieved, Support, Text
from xmap.stages.methods.fitting.search import search
from xmap.stages.methods.maths.affinity import affinity
from xmap.stages.methods.options import ProkerOptions
from xmap.stages.methods.protocol import Cache, Fitted, Scores, Selection, Settings, TrainLog
from xmap.stages.methods.tip_adapter import as_selection

# (beta, ridge) by shots, from the released code's hyperparameters.json.
RELEASED: Mapping[int, tuple[float, float]] = {1: (3.0, 0.05), 2: (2.6, 0.05), 4: (1.5, 0.05), 8: (1.66, 0.07), 16: (1.7, 0.1)}


def fit(task: FewShotTask, options: ProkerOptions, settings: Settings | None, log: TrainLog) -> Fitted:
    """Solve for the coefficients; choose beta and ridge."""
    keys, wrong = task.support.keys, residuals(task.support, task.text.weights)
    validation = task.validation
    if settings is not None or validation is None:
        chosen = settings or {name: options.initial(name, value) for name, value in released(task).items()}
        return Fitted({"keys": keys, "coefficients": solve(keys, wrong, chosen)}, chosen, Selection(task.selected_on))
    zero_shot, similarity = validation.features @ task.text.weights.T, validation.features @ keys.T

    def logits(point: Mapping[str, float]) -> Tensor:
        return task.text.logit_scale * (zero_shot + affinity(similarity, point["beta"]) @ solve(keys, wrong, point))

    choice = search({"beta": options.grid("beta"), "ridge": options.grid("ridge")}, validation.labels, logits)
    tensors = {"keys": keys, "coefficients": solve(keys, wrong, choice.values)}
    return Fitted(tensors, choice.values, as_selection(choice, task.selected_on))


def scores(fitted: Fitted, cache: Cache, features: Tensor, retrieved: Retrieved | None = None) -> Scores:
    """The texts' cosines and what the kernel adds to them, times the logit scale; always over all keys."""
    return kernel_scores(fitted, cache.text, cache.text.weights, features)


def kernel_scores(fitted: Fitted, text: Text, weights: Tensor, features: Tensor) -> Scores:
    """`s (f W^T + k(f, K) a)` for unit class `weights` W (N, C); the image side is `k(f, K) a`."""
    tensors = fitted.tensors
    image = affinity(features @ tensors["keys"].T, float(fitted.settings["beta"])) @ tensors["coefficients"]
    return Scores(text.logit_scale * (features @ weights.T + image), image)


def released(task: FewShotTask) -> dict[str, float]:
    """The released settings of the number of shots nearest to the nominal one, by its logarithm."""
    nearest = min(RELEASED, key=lambda shots: abs(math.log(shots / max(task.support.shots, 1))))
    return dict(zip(("beta", "ridge"), RELEASED[nearest], strict=True))


def residuals(support: Support, weights: Tensor) -> Tensor:
    """`L - K W^T` (M, N): how far each key's cosines to unit class weights (N, C) are from its class."""
    return one_hot(support.labels, support.classes).float() - support.keys @ weights.T


def solve(keys: Tensor, wrong: Tensor, point: Settings | Mapping[str, float]) -> Tensor:
    """`(k(K, K) / ridge + I)^-1` times (M, N), by Cholesky in float64: M^3 / 3 products and 16 M^2 bytes."""
    return torch.cholesky_solve(wrong.double(), factor(keys, point)).float()


def factor(keys: Tensor, point: Settings | Mapping[str, float]) -> Tensor:
    """The lower factor (M, M) float64 of `k(K, K) / ridge + I`."""
    kernel = affinity((keys.double() @ keys.double().T).clamp(max=1.0), float(point["beta"])).div_(float(point["ridge"]))
    kernel.diagonal().add_(1.0)
    lower: Tensor = torch.linalg.cholesky(kernel)
    return lower
