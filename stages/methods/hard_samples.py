"""Hard samples: how far the two caches disagree about a sample, and the weight that follows (XMAdapter, section 2.5).

    w_i = 1 + lambda d_i / (mean over the batch of d + 1e-12)

The paper weights the loss by the difference of the two affinity matrices; the exact form is not published.
"""

from __future__ import annotations

import torch
from torch import Tensor

TINY = 1e-12


def disagreement(image: Tensor, text: Tensor) -> Tensor:
    """d_i (B,): the mean absolute difference of the two sides (B, N or M), each divided by its mean over the batch."""
    with torch.no_grad():
        return (image / (image.mean() + TINY) - text / (text.mean() + TINY)).abs().mean(1)


def sample_weights(difference: Tensor, strength: float) -> Tensor:
    """The loss weights w_i (B,) of differences d_i (B,); 1 at strength 0."""
    return 1.0 + strength * difference / (difference.mean() + TINY)


def weighted_mean(losses: Tensor, weights: Tensor) -> Tensor:
    """`sum_i w_i l_i / sum_i w_i`."""
    return (weights * losses).sum() / weights.sum()
