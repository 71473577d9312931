"""Features of several encoders of the same images as one wide row, so that all that handles features handles these.

With encoders 1 to E of widths C_e a row holds the unit features of each, one after the other, each divided by sqrt(E): the row is unit, and
its cosine to another is the mean of the encoders' cosines (`store.formats.arrays.side_by_side`). Samples of one encoder are as they are.
"""

from __future__ import annotations

from itertools import accumulate, pairwise

from torch import Tensor
from torch.nn.functional import normalize

Widths = tuple[int, ...]


def part_of(features: Tensor, widths: Widths, encoder: int) -> Tensor:
    """The unit features (..., C_e) of an encoder, numbered from 0, of wide ones (..., C); all of them where no `widths` say otherwise."""
    return normalize(features[..., columns_of(widths, encoder)], dim=-1) if widths else features


def columns_of(widths: Widths, encoder: int) -> slice:
    """The columns of an encoder, numbered from 0, in wide rows."""
    return [slice(*ends) for ends in pairwise(accumulate(widths, initial=0))][encoder]
