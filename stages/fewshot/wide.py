"""Features of several encoders of the same images as one wide row, so that all that handles features handles these.

With encoders 1 to E of widths C_e a row holds the unit features of each, one after the other, each divided by sqrt(E): the row is unit, and
its cosine to another is the mean of the encoders' cosines. Samples of one encoder are as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch
from torch import Tensor
from torch.nn.functional import normalize

Widths = tuple[int, ...]


def side_by_side(parts: Sequence[Tensor]) -> Tensor:
    """Wide rows (B, C_1 + ... + C_E) of the features (B, C_e) of each encoder, of any length; of one encoder as they are."""
    return parts[0] if len(parts) == 1 else torch.cat([normalize(part, dim=-1) for part in parts], -1) / len(parts) ** 0.5


def part_of(features: Tensor, widths: Widths, encoder: int) -> Tensor:
    """The unit features (..., C_e) of an encoder, numbered from 0, of wide ones (..., C); all of them where no `widths` say otherwise."""
    return normalize(features[..., columns_of(widths, encoder)], dim=-1) if widths else features


def columns_of(widths: Widths, encoder: int) -> slice:
    """The columns of an encoder, numbered from 0, in wide rows."""
    return [slice(*ends) for ends in pairwise(accumulate(widths, initial=0))][encoder]
