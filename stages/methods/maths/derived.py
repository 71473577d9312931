"""Class directions of an encoder that has no text tower, from the texts of the first one, which sees the same images.

    p_c = MetaNet(t_c)                              where the first encoder expects a class (`stages.methods.maths.discriminant`)
    q_c = p_c R,    R = (X'X + ridge I)^-1 X'Y      X, Y: the support's images by the first encoder and by this one, both centred

The ridge of R is the one with the smallest leave-one-image-out error, which needs no refit. A class without images has its direction too.
Whoever asks what these directions say of an image of the support makes them without it (`stages.fewshot.folds`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from xmap.stages.fewshot.task import FewShotTask, Support, Text
from xmap.stages.methods.maths.discriminant import RIDGES, TINY, Anchor, Metric, Spaces, class_means, discriminant, fit_meta_net, kept


@dataclass(frozen=True)
class Directions:
    """Where an encoder expects the classes: `mapped` (N, C) float64 from the `center` (C,) of its own class means.

    `leverage` (N,) is how far the first encoder's class means pulled what they foretell.
    """

    center: Tensor
    mapped: Tensor
    leverage: Tensor


def ridge_map(inputs: Tensor, targets: Tensor) -> Tensor:
    """The ridge regression (C, D) of targets (M, D) on inputs (M, C), at the best of `RIDGES` times the mean eigenvalue."""
    values, vectors = torch.linalg.eigh(inputs.T @ inputs)
    values = values.clamp(min=0.0)
    rotated, unit = inputs @ vectors, float(values.mean()) + TINY
    products = rotated.T @ targets

    def error(ridge: float) -> float:
        inverse = 1.0 / (values + ridge * unit)
        fit, leverage = (rotated * inverse) @ products, (rotated * inverse * rotated).sum(1)
        return float(((targets - fit) / kept(leverage)).square().sum())

    found: Tensor = (vectors / (values + min(RIDGES, key=error) * unit)) @ products
    return found


def directions(first: FewShotTask, other: Support) -> Directions:
    """The directions of the encoder that sees the support of `first` as `other`, in float64."""
    labels, counts = first.support.labels, first.support.segments.counts.double()
    keys, beside, texts = first.support.keys.double(), other.keys.double(), first.text.weights.double()
    seen = counts > 0
    means, center = class_means(keys, labels, counts), class_means(beside, labels, counts)[seen].mean(0)
    middle = means[seen].mean(0)
    net = fit_meta_net(texts - texts[seen].mean(0), means - middle, seen)
    return Directions(center, net.mapped @ ridge_map(keys - middle, beside - center), net.leverage)


def derived_weights(found: Directions) -> Tensor:
    """The directions as unit class weights (N, C) float32, without what they share with the center: it says nothing of classes."""
    common = normalize(found.center, dim=0)
    return normalize(found.mapped - (found.mapped @ common)[:, None] * common, dim=-1).float()


def derived_text(first: Text, weights: Tensor, logit_scale: float) -> Text:
    """Derived weights as class texts of their own."""
    return Text(first.names, weights, logit_scale)


def derived_spaces(first: FewShotTask, other: Support, metric: Metric) -> Spaces:
    """The discriminant spaces of the encoder that sees the support of `first` as `other`.

    They have no `own_text`: nothing is trained in them on the images that they come from.
    """
    found, labels, counts = directions(first, other), other.labels, other.segments.counts.double()
    keys, seen = other.keys.double(), counts > 0
    means, shots = class_means(keys, labels, counts), float(1.0 / (1.0 / counts[seen]).mean())
    misfit = (means - found.center - found.mapped)[seen] / kept(found.leverage[seen])
    basis, values, share = discriminant(keys - means[labels], misfit, shots, int(seen.sum()), metric)
    image_map, text_map = basis * share.sqrt(), basis * (1.0 - share).sqrt()
    return Spaces(
        found.center.float(),
        image_map.float(),
        text_map.float(),
        normalize((keys - found.center) @ image_map, dim=-1).float(),
        normalize(found.mapped @ text_map, dim=-1).float(),
        torch.empty(0, keys.shape[1], device=keys.device),
        Anchor(basis, values, found.mapped, means - found.center, counts),
    )
