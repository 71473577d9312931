"""How much each sentence of a class counts in its text: alike where nobody has shown an image, else by how well the class's images fit it.

    e_p = cos(m_c, t_p) - 1/2 mean_j cos(m_j, t_p)            m_c the mean image of the class, t_p its sentence p, j over all classes
    w_p = softmax over the sentences of c (0.4 s e_p n_c / (n_c + 1))
    W_c = norm(sum_p w_p t_p)

This is TIMO's image-guided text (AAAI 2025), with two changes: half of what a sentence has in common with images of any class does not
count, and the guidance is shrunk towards the mean by the number n_c of images that it stands on: half of it counts at one shot. The
constants were chosen on validation samples (`python -m benchmarks.descriptions`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize


class Strength(NamedTuple):
    """How much images have a say: `sharpness` is in units of the logit scale, `common` the share of the mean over classes that does not
    count, `half` the shots at which half of the guidance counts."""

    sharpness: float = 0.4
    common: float = 0.5
    half: float = 1.0


STRENGTH = Strength()


def guide(
    means: Tensor, sentences: Tensor, classes: Tensor, logit_scale: float, keys: Iterable[Tensor], labels: Tensor, counts: Tensor
) -> tuple[Tensor, Tensor]:
    """Class texts (N, C) and the weights (S,) of sentences, on the device of `means` (N, C), by keys that come in chunks.

    These are (m, C) or wider, row by row as `labels` (M,) say, `counts` (N,) of each class.
    """
    sums = sums_of(keys, labels, *means.shape)
    weights = sentence_weights(sentences.cpu(), classes.cpu(), logit_scale, sums, counts.cpu().double())
    found = weighed(means.cpu(), sentences.cpu(), classes.cpu(), weights)
    return found.to(means.device), weights.to(means.device)


def sentence_weights(
    sentences: Tensor, classes: Tensor, logit_scale: float, sums: Tensor, counts: Tensor, strength: Strength = STRENGTH
) -> Tensor:
    """The weights (S,) float64 of unit sentences (S, C) of `classes` (S,), by `sums` (N, C) and `counts` (N,) of the classes' images.

    Those of a class add up to 1; where it has one sentence, or no image, they are exactly equal.
    """
    means, shown = normalize(sums, dim=-1), counts > 0
    cosines = sentences.double() @ means.T
    common = cosines[:, shown].mean(1) if bool(shown.any()) else cosines.new_zeros(len(cosines))
    fits = cosines.gather(1, classes[:, None])[:, 0] - strength.common * common
    logits = strength.sharpness * logit_scale * fits * (counts / (counts + strength.half))[classes]
    best = logits.new_full((len(counts),), -torch.inf).scatter_reduce(0, classes, logits, "amax")
    shares = (logits - best[classes]).exp()
    return shares / shares.new_zeros(len(counts)).index_add_(0, classes, shares)[classes]


def weighed(means: Tensor, sentences: Tensor, classes: Tensor, weights: Tensor) -> Tensor:
    """Class texts (N, C) float32 of weighed sentences; those of a class whose sentences count alike are its `means` (N, C), bit for bit."""
    counts = torch.bincount(classes, minlength=len(means)).double()
    moved = torch.zeros(len(means), dtype=torch.bool).index_put_((classes,), weights != (1.0 / counts)[classes], accumulate=True)
    sums = torch.zeros(means.shape, dtype=torch.float64).index_add_(0, classes, weights[:, None] * sentences.double())
    return torch.where(moved[:, None], normalize(sums, dim=-1).float(), means)


def sums_of(keys: Iterable[Tensor], labels: Tensor, classes: int, width: int) -> Tensor:
    """The sums (N, C) float64 of the keys of each class; these come in chunks (m, C or more), row by row as `labels` (M,) say.

    Of wide keys the first encoder's part, which is the one with these texts.
    """
    sums, start = torch.zeros(classes, width, dtype=torch.float64), 0
    for chunk in keys:
        sums.index_add_(0, labels[start : start + len(chunk)].cpu(), chunk[:, :width].cpu().double())
        start += len(chunk)
    return sums
