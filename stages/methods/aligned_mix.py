"""Text-aligned mixed prototypes beside a discriminant of the images (after Goswami et al., arXiv 2603.24528, 2026): our reconstruction.

    U      the principal directions of the class texts, as many as hold `energy` of their spectrum
    p_c    norm(U U^T mean of class c's keys)
    w_c    norm((1 - m_c) t_c + m_c p_c),    m_c = n_c v / (1 + n_c v)
    logits = s f w^T + alpha (f d^T + b)

No code was found and the paper's abstract names no numbers: the share m_c of the image prototype is the one that its reading as a
shrinkage estimator gives, with v the variance between classes over that within them, both along U; where nothing shows how classes
vary within, v is 1. (d, b) is GDA-CLIP's discriminant (`stages.methods.gda`): one covariance for all classes. energy and alpha are
chosen on validation samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import normalize

from xmap.stages.fewshot.task import FewShotTask, Retrieved, Support
from xmap.stages.methods.fitting.search import search
from xmap.stages.methods.gda import TINY, discriminant, evidence
from xmap.stages.methods.options import AlignedMixOptions
from xmap.stages.methods.protocol import Cache, Fitted, Scores, Selection, Settings, TrainLog
from xmap.stages.methods.tip_adapter import as_selection


def fit(task: FewShotTask, options: AlignedMixOptions, settings: Settings | None, log: TrainLog) -> Fitted:
    """Mix the prototypes and compute the discriminant; choose how many directions are kept, and alpha."""
    images, scale, validation = discriminant(task.support), task.text.logit_scale / 100.0, task.validation

    @lru_cache(maxsize=1)
    def mixed(energy: float) -> Tensor:
        return mixed_prototypes(task, energy)

    def tensors(chosen: Settings | Mapping[str, float]) -> dict[str, Tensor]:
        return {"mixed": mixed(float(chosen["energy"])), **images}

    if settings is not None or validation is None:
        chosen = settings or {"energy": options.initial("energy"), "alpha": options.initial("alpha") * scale}
        return Fitted(tensors(chosen), chosen, Selection(task.selected_on))
    own = evidence(images, validation.features)

    def logits(point: Mapping[str, float]) -> Tensor:
        return task.text.logit_scale * validation.features @ mixed(point["energy"]).T + point["alpha"] * own

    choice = search({"energy": options.grid("energy"), "alpha": options.grid("alpha", scale)}, validation.labels, logits)
    return Fitted(tensors(choice.values), choice.values, as_selection(choice, task.selected_on))


def scores(fitted: Fitted, cache: Cache, features: Tensor, retrieved: Retrieved | None = None) -> Scores:
    """Logits of the mixed prototypes plus alpha times the discriminant; there is no cache to retrieve from."""
    mixed = cache.text.logit_scale * features @ fitted.tensors["mixed"].T
    return Scores(mixed + float(fitted.settings["alpha"]) * evidence(fitted.tensors, features))


def mixed_prototypes(task: FewShotTask, energy: float) -> Tensor:
    """The class weights w (N, C) float32, of a class without support its text."""
    support, texts = task.support, task.text.weights.double()
    directions = principal_directions(texts, energy)
    counts = support.segments.counts.double()
    keys = support.keys.double()
    means = torch.zeros_like(texts).index_add_(0, support.labels, keys) / counts.clamp(min=1.0)[:, None]
    trust = counts * between_within(support, (keys @ directions.T), (means @ directions.T))
    share = (trust / (1.0 + trust))[:, None]
    return normalize((1.0 - share) * texts + share * normalize(means @ directions.T @ directions, dim=-1), dim=-1).float()


def principal_directions(texts: Tensor, energy: float) -> Tensor:
    """The fewest singular directions (r, C) of texts (N, C) whose squared singular values sum to a share `energy` of all."""
    _, values, directions = torch.linalg.svd(texts, full_matrices=False)
    spectrum = values.square()
    held = spectrum.cumsum(0) / spectrum.sum()
    # What is left beyond the rank of the texts is rounding.
    count = min(int((held < energy - TINY).sum()) + 1, int((values > values[0] * 1e-6).sum()))
    kept: Tensor = directions[:count]
    return kept


def between_within(support: Support, keys: Tensor, means: Tensor) -> float:
    """v: the variance between class means (N, r) over that of keys (M, r) within classes; 1 where either does not show."""
    seen, total = support.segments.counts > 0, len(support)
    freedom, classes = total - int(seen.sum()), int(seen.sum())
    within = float((keys - means[support.labels]).square().sum()) / max(freedom, 1)
    # The means of few keys vary by what is within classes too.
    between = float((means[seen] - means[seen].mean(0)).square().sum()) / max(classes - 1, 1)
    noise = within * float((1.0 / support.segments.counts[seen]).mean())
    ratio = (between - noise) / within if within > TINY else 0.0
    return ratio if freedom > 0 and classes > 1 and ratio > TINY else 1.0
