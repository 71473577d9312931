"""GDA-CLIP (Wang et al., ICLR 2024): Gaussian discriminant analysis with one shared covariance, beside the zero-shot logits.

    P = C pinv((n - 1) S + tr(S) I),    w_c = P mu_c,    b_c = -log N - mu_c P mu_c / 2
    logits = s f W^T + alpha (f w^T + b)

over all n unit views of the support; S is the covariance of the views around their class means mu_c. Where nothing varies
within a class (one view of one shot), S is round with the trace of the covariance of the means. A class without
support gets the mean weights and bias of the others: no evidence. alpha is chosen on validation samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import normalize

from xmap.stages.fewshot.task import FewShotTask, Retrieved, Support
from xmap.stages.methods.fitting.search import search
from xmap.stages.methods.options import GdaOptions
from xmap.stages.methods.protocol import Cache, Fitted, Scores, Selection, Settings, TrainLog
from xmap.stages.methods.tip_adapter import as_selection

TINY = 1e-12


def fit(task: FewShotTask, options: GdaOptions, settings: Settings | None, log: TrainLog) -> Fitted:
    """Compute the discriminant; choose its weight alpha."""
    tensors = discriminant(task.support)
    scale = task.text.logit_scale / 100.0
    validation = task.validation
    if settings is not None or validation is None:
        return Fitted(tensors, settings or {"alpha": options.initial("alpha") * scale}, Selection(task.selected_on))
    zero_shot, own = task.text.logits(validation.features), evidence(tensors, validation.features)

    def logits(point: Mapping[str, float]) -> Tensor:
        return zero_shot + point["alpha"] * own

    choice = search({"alpha": options.grid("alpha", scale)}, validation.labels, logits)
    return Fitted(tensors, choice.values, as_selection(choice, task.selected_on))


def scores(fitted: Fitted, cache: Cache, features: Tensor, retrieved: Retrieved | None = None) -> Scores:
    """Zero-shot logits plus alpha times the discriminant; there is no cache to retrieve from."""
    return Scores(cache.text.logits(features) + float(fitted.settings["alpha"]) * evidence(fitted.tensors, features))


def evidence(tensors: Mapping[str, Tensor], features: Tensor) -> Tensor:
    """`f w^T + b` (B, N)."""
    return features @ tensors["weights"].T + tensors["bias"]


def discriminant(support: Support) -> dict[str, Tensor]:
    """Weights (N, C) and bias (N,) of the classes, from all views of the support."""
    return discriminant_of(*views_of(support), support.classes)


def views_of(support: Support) -> tuple[Tensor, Tensor]:
    """All unit views (n, C) float64, and the class of each (n,)."""
    shape = support.views.shape
    vectors = normalize(support.views.double(), dim=-1).reshape(-1, shape[2])
    return vectors, support.labels.repeat_interleave(shape[1])


def discriminant_of(vectors: Tensor, labels: Tensor, classes: int) -> dict[str, Tensor]:
    """Weights (N, C) and bias (N,) of the classes from vectors (n, C) with labels (n,), in float64 until the end."""
    counts = torch.bincount(labels, minlength=classes).double()
    means = vectors.new_zeros(classes, vectors.shape[1]).index_add_(0, labels, vectors) / counts.clamp(min=1.0)[:, None]
    seen = counts > 0
    precision = shrunk_precision(vectors - means[labels], means[seen])
    weights = means @ precision
    bias = -math.log(classes) - 0.5 * (weights * means).sum(1)
    weights[~seen], bias[~seen] = weights[seen].mean(0), bias[seen].mean()
    return {"weights": weights.float(), "bias": bias.float()}


def shrunk_precision(residuals: Tensor, means: Tensor) -> Tensor:
    """`C pinv((n - 1) S + tr(S) I)` of residuals (n, C) around class means."""
    total, width = residuals.shape
    scatter = residuals.T @ residuals
    trace = float(scatter.trace()) / max(total - 1, 1)
    if trace <= TINY:
        between = float((means - means.mean(0)).square().sum()) / max(len(means) - 1, 1)
        scatter, trace = torch.zeros_like(scatter), between if between > TINY else 1.0
    ridged = scatter + trace * torch.eye(width, dtype=scatter.dtype, device=scatter.device)
    inverse: Tensor = torch.linalg.pinv(ridged, hermitian=True)
    return width * inverse
