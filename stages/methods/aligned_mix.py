"""Text-aligned mixed prototypes beside a discriminant of the images (after Goswami et al., arXiv 2603.24528, 2026): our reconstruction.

    U      the principal directions of the class texts, as many as hold `energy` of their spectrum
    p_c    norm(U U^T mean of class c's keys)
    w_c    norm((1 - m_c) t_c + m_c p_c),    m_c = n_c worth / (1 + n_c worth)
    logits = s f w^T + alpha (f d^T + b)

No code was found and the paper's abstract names no numbers: the share m_c is the one that its reading as a shrinkage estimator gives, with
what a shot is worth against the text as a setting. (d, b) is GDA-CLIP's discriminant (`stages.methods.gda`): one covariance for all
classes. energy, worth and alpha are chosen on validation samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import normalize

from xmap.stages.fewshot.task import FewShotTask, Retrieved
from xmap.stages.methods.fitting.search import search
from xmap.stages.methods.gda import TINY, discriminant, evidence
from xmap.stages.methods.options import AlignedMixOptions
from xmap.stages.methods.protocol import Cache, Fitted, Scores, Selection, Settings, TrainLog
from xmap.stages.methods.tip_adapter import as_selection


def fit(task: FewShotTask, options: AlignedMixOptions, settings: Settings | None, log: TrainLog) -> Fitted:
    """Mix the prototypes and compute the discriminant; choose how many directions are kept, and alpha."""
    images, scale, validation = discriminant(task.support), task.text.logit_scale / 100.0, task.validation

    @lru_cache(maxsize=1)
    def mixed(energy: float, worth: float) -> Tensor:
        return mixed_prototypes(task, energy, worth)

    def tensors(chosen: Settings | Mapping[str, float]) -> dict[str, Tensor]:
        return {"mixed": mixed(float(chosen["energy"]), float(chosen["worth"])), **images}

    if settings is not None or validation is None:
        fixed = {"energy": options.initial("energy"), "worth": options.initial("worth"), "alpha": options.initial("alpha") * scale}
        chosen = settings or fixed
        return Fitted(tensors(chosen), chosen, Selection(task.selected_on))
    own = evidence(images, validation.features)

    def logits(point: Mapping[str, float]) -> Tensor:
        return task.text.logit_scale * validation.features @ mixed(point["energy"], point["worth"]).T + point["alpha"] * own

    grids = {"energy": options.grid("energy"), "worth": options.grid("worth"), "alpha": options.grid("alpha", scale)}
    choice = search(grids, validation.labels, logits)
    return Fitted(tensors(choice.values), choice.values, as_selection(choice, task.selected_on))


def scores(fitted: Fitted, cache: Cache, features: Tensor, retrieved: Retrieved | None = None) -> Scores:
    """Logits of the mixed prototypes plus alpha times the discriminant; there is no cache to retrieve from."""
    mixed = cache.text.logit_scale * features @ fitted.tensors["mixed"].T
    return Scores(mixed + float(fitted.settings["alpha"]) * evidence(fitted.tensors, features))


def mixed_prototypes(task: FewShotTask, energy: float, worth: float) -> Tensor:
    """The class weights w (N, C) float32, of a class without support its text."""
    support, texts = task.support, task.text.weights.double()
    directions = principal_directions(texts, energy)
    counts = support.segments.counts.double()[:, None]
    means = torch.zeros_like(texts).index_add_(0, support.labels, support.keys.double()) / counts.clamp(min=1.0)
    share = counts * worth / (1.0 + counts * worth)
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
