"""SeMoBridge (Timmermann et al., arXiv 2509.26036, 2025): images carried to where texts lie, back through the text projection P (E x C).

    e_j    = k_j pinv(P)                     singular values of P up to 0.3 count as none
    p_c    = norm(mean_j in c norm(e_j) P)   the bridged keys of a class, in the place of a prompt
    b      = norm(f pinv(P) P)               the bridged query
    d_c    = exp(smoothness log2(1 / softmax(m_c W^T)_c)),    m_c the unit mean of class c's keys
    image  = d (bridged_keys A(f p^T) + bridged_queries A(b m^T)),    A(x) = exp(-sharpness (1 - x))
    logits = s (A(f W^T) + image)

Bridged vectors get the mean length of unprojected texts before P, which no cosine knows. Published are three sharpnesses and three weights,
found with the smoothness by 1,000 trials of a tree-structured search; here one sharpness, and weights against the texts' term of 1,
chosen on validation samples. Without these the released start holds, all of one weight. A class without support gets the others' mean.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import normalize

from xmap.stages.fewshot.task import FewShotTask, Retrieved, Segments, Unprojected
from xmap.stages.methods.fitting.trials import choose_after
from xmap.stages.methods.maths.affinity import affinity
from xmap.stages.methods.options import SemobridgeOptions
from xmap.stages.methods.protocol import Cache, Fitted, Scores, Selection, Settings, TrainLog
from xmap.store.errors import InputError

SMALLEST = 0.3
TINY = 1e-6
SEARCHED = ("sharpness", "bridged_keys", "bridged_queries")


def fit(task: FewShotTask, options: SemobridgeOptions, settings: Settings | None, log: TrainLog) -> Fitted:
    """Bridge the keys; choose the sharpness and the weights."""
    unprojected = unprojected_of(task, "semobridge")
    inverse = inverse_of(unprojected)
    tensors = {
        **class_means(task),
        "prompts": prompts(task, unprojected, task.support.keys @ inverse),
        "bridge": inverse @ unprojected.projection,
    }
    return choose(task, options, Fitted(tensors, settings or starts(options), Selection(task.selected_on)), settings)


def scores(fitted: Fitted, cache: Cache, features: Tensor, retrieved: Retrieved | None = None) -> Scores:
    """The sum of the texts' term and the bridged ones, times the logit scale; always over all keys."""
    found = cosines(fitted.tensors, cache.text.weights, features)
    text, image = sides(fitted.tensors, found, cache.segments, fitted.settings)
    return Scores(cache.text.logit_scale * (text + image), image)


def unprojected_of(task: FewShotTask, method: str) -> Unprojected:
    """What the text tower gives before its projection. Raises `InputError` where nobody kept it."""
    if task.text.unprojected is None:
        raise InputError(
            f"{method} goes back through the projection of the text tower, and these features come without one; extract images with "
            "--data DIR and --model NAME, or choose another method."
        )
    return task.text.unprojected


def inverse_of(unprojected: Unprojected) -> Tensor:
    """`pinv(P)` (C, E) float32, by singular values in float64."""
    inverse: Tensor = torch.linalg.pinv(unprojected.projection.double(), atol=SMALLEST, rtol=0.0)
    return inverse.float()


def starts(options: SemobridgeOptions) -> dict[str, float]:
    """What holds where nothing is chosen."""
    return {**{name: options.initial(name) for name in SEARCHED}, "smoothness": options.smoothness}


def choose(task: FewShotTask, options: SemobridgeOptions, fitted: Fitted, settings: Settings | None) -> Fitted:
    """Choose the sharpness and the weights of bridged tensors on validation samples, unless there are none or settings are given."""
    if settings is not None or task.validation is None:
        return fitted
    found = cosines(fitted.tensors, task.text.weights, task.validation.features)

    def logits(point: Mapping[str, float]) -> Tensor:
        text, image = sides(fitted.tensors, found, task.segments, {**fitted.settings, **point})
        return task.text.logit_scale * (text + image)

    return choose_after(task, fitted, {name: options.grid(name) for name in SEARCHED}, logits)


def class_means(task: FewShotTask) -> dict[str, Tensor]:
    """The unit mean keys m (N, C) of the classes, and how far the texts are off on each (N,): `log2(1 / softmax(m W^T)_c)`."""
    support = task.support
    means = normalize(torch.zeros_like(task.text.weights).index_add_(0, support.labels, support.keys), dim=-1)
    chances = (means @ task.text.weights.T).softmax(1).diagonal()
    return {"means": means, "divergence": torch.log2((1.0 + TINY) / (chances + TINY))}


def prompts(task: FewShotTask, unprojected: Unprojected, carried: Tensor) -> Tensor:
    """The bridged keys p (N, C) of the classes; `carried` (M, E) are the keys before the projection, of any length."""
    projected = normalize(carried, dim=-1) @ unprojected.projection
    return normalize(torch.zeros_like(task.text.weights).index_add_(0, task.support.labels, projected), dim=-1)


def cosines(tensors: Mapping[str, Tensor], texts: Tensor, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of unit features (B, C) those to the texts and to the bridged keys, and of bridged features those to the mean keys: (B, N) each."""
    near = features @ tensors["prompts"].T
    bridged = features @ tensors["bridge"]
    if "bias" in tensors:
        bridged = bridged + near.softmax(1) @ tensors["bias"]
    return features @ texts.T, near, normalize(bridged, dim=-1) @ tensors["means"].T


def sides(
    tensors: Mapping[str, Tensor], found: tuple[Tensor, Tensor, Tensor], segments: Segments, point: Settings | Mapping[str, float]
) -> tuple[Tensor, Tensor]:
    """The texts' term and that of the images (B, N), by their cosines."""
    text, keys, queries = (affinity(cosine, float(point["sharpness"])) for cosine in found)
    doubt = (float(point["smoothness"]) * tensors["divergence"]).exp()
    image = doubt * (float(point["bridged_keys"]) * keys + float(point["bridged_queries"]) * queries)
    seen = (segments.counts > 0).float()
    others = (image * seen).sum(1, keepdim=True) / seen.sum()
    return text, torch.where(seen > 0, image, others)
