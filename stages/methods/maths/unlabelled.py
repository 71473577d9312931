"""What XMAdapter learns from a pool of images that nobody has labelled: how images of one class differ.

    z_uc     N pi_c exp(l_uc), normed over classes, times w_u       soft labels by the logits l of what labels alone have trained
    w_u      min(1, 2 x how many support images, each judged without itself, are as strange)    images of none of the classes weigh nothing
    pi_c     (sum_u z_uc + a) / (sum z + a N)                       class shares: estimated in a few rounds, given, or free: 1/N in z
    S_w      the pool's scatter around the believed class means counts beside the support's, each image for 1/n^4 of a deviation

The labels stay the anchor: class means are p_c and n images of the support first. One shot shows nothing of S_w, and from two on the pool
was of no use (docs/pool.md), so that its say falls fast and ends with two. Shares have a part in z alone: what an image is taken for
never depends on how frequent classes are in the pool.
"""

from __future__ import annotations

import torch
from torch import Tensor

from xmap.stages.fewshot.pool import Pool
from xmap.stages.methods.maths.discriminant import Anchor, Spread

ROUNDS = 10
# How many images the belief counts for, that a class is as frequent as any other.
PRIOR = 1.0
# How fast the pool loses its say in S_w with the shots.
FADE = 4


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
    return Spread(scatter / shots**FADE, free / shots**FADE)
