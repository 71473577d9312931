"""Class sums of any value per key, over all keys or over retrieved ones."""

from __future__ import annotations

import torch
from torch import Tensor

from xmap.stages.fewshot.task import Retrieved, Segments
from xmap.stages.methods.maths.affinity import class_scale, class_sums


def at_keys(values: Tensor, retrieved: Retrieved | None) -> Tensor:
    """Values of all keys, (M,) or (B, M), at the retrieved ones (B, k); as they are where none are given."""
    if retrieved is None:
        return values
    rows = retrieved.rows.clamp(min=0)
    return values[rows] if values.ndim == 1 else values.gather(1, rows)


def key_sums(values: Tensor, segments: Segments, retrieved: Retrieved | None) -> Tensor:
    """Scaled class sums (B, N) of values (B, M), or of values (B, k) of the retrieved keys."""
    if retrieved is None:
        return class_sums(values, segments)
    kept = torch.where(retrieved.rows >= 0, values, 0.0)
    labels = segments.labels[retrieved.rows.clamp(min=0)]
    return kept.new_zeros(len(kept), segments.classes).scatter_add_(1, labels, kept) * class_scale(segments)
