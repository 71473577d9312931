"""What XMAdapter learns from a pool of images that nobody has labelled: how images of one class differ, and a little of what a class is.

    z_uc     N pi_c exp(l_uc), normed over classes, times w_u       soft labels by the logits l of what labels alone have trained
    w_u      min(1, 2 x how many support images, each judged without itself, are as strange)    images of none of the classes weigh nothing
    pi_c     (sum_u z_uc + a) / (sum z + a N)                       class shares: estimated in a few rounds, given, or free: 1/N in z
    S_w      the pool's scatter around the believed class means counts beside the support's, 1/n^2 of a deviation each
    p_c      what the texts foretell moves to the pool's mean of a class by sure images, 1/e against `WORTH` (1 - 1/n) / n^2 each

The labels stay the anchor: class means are p_c and n images of the support first, and the pool's say falls with the shots, as beyond two
it was of no use (docs/pool.md). Whether a class is where its text foretells, one shot can check least, so there the pool has no say.
Shares have a part in z alone: what an image is taken for never depends on how frequent classes are in the pool.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from xmap.stages.fewshot.pool import Pool
from xmap.stages.methods.maths.discriminant import Anchor, Spread

ROUNDS = 10
# How many images the belief counts for, that a class is as frequent as any other.
PRIOR = 1.0
# An image moves a class mean where it is of that class with so much probability.
SURE = 0.9
# What a sure image is worth, at most, against one with a label, and how many of a class count for half of that.
WORTH, FEW = 0.4, 2.0


def soft_labels(logits: Tensor, weights: Tensor, pool: Pool) -> tuple[Tensor, Tensor]:
    """The soft labels z (P, N) of a pool's images by logits (P, N) and weights (P,), and the class shares (N,), all float64."""
    logits, classes = logits.double(), logits.shape[1]
    shares = logits.new_full((classes,), 1.0 / classes) if pool.given is None else pool.given.to(logits)
    for _ in range(ROUNDS if pool.shares == "estimated" else 1):
        soft = (logits + shares.clamp(min=1e-12).log()).softmax(1) * weights[:, None]
        if pool.shares == "estimated":
            shares = (soft.sum(0) + PRIOR) / (soft.sum() + PRIOR * classes)
    return soft, shares


def membership(strange: Tensor, known: Tensor) -> Tensor:
    """The weights w (P,) float64 of images by how strange (P,) they are, beside images of the classes (M,): see above."""
    ordered = known.double().sort().values
    at_least = len(ordered) - torch.searchsorted(ordered, strange.double())
    return (2.0 * at_least / max(len(ordered), 1)).clamp(max=1.0)


def spread_of(offsets: Tensor, soft: Tensor, anchor: Anchor, shots: float) -> Spread:
    """How images (P, C), measured from the center, lie around their classes' means, which are believed by labels and the pool alike."""
    images, believed, counts = offsets.double(), anchor.believed(), soft.sum(0)[:, None]
    sums = soft.T @ images
    means = (believed + sums) / (1.0 + counts)
    crossed = sums.T @ means
    scatter = (images * soft.sum(1, keepdim=True)).T @ images - crossed - crossed.T + (means * counts).T @ means
    free = float((counts - counts / (1.0 + counts)).sum())
    return Spread(scatter / shots**2, free / shots**2)


def moved_text_keys(mapped: Tensor, soft: Tensor, foretold: Tensor, between: Tensor, shots: float) -> Tensor:
    """The unit text keys (N, C) float64 with the pool's say, for its images (P, C), unit in the text side's space.

    `foretold` (N, C) are the p_c there, as long as images are on average 1, and `between` (C,) e.
    """
    sure = soft * (soft > SURE)
    counts = sure.sum(0)[:, None]
    worth = WORTH * (1.0 - 1.0 / shots) / shots**2 * counts / (counts + FEW)
    return normalize((foretold / between + worth * (sure.T @ mapped.double())) / (1.0 / between + worth * counts), dim=-1)
