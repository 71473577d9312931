"""Affinities between queries and cache keys, and their sums over the keys of each class.

The affinity is `exp(-beta (1 - cosine))` (Tip-Adapter, ECCV 2022). `A L` of the papers, a product with an M x N one-hot
matrix, is computed as what it is: a sum over each class's contiguous keys.
"""

from __future__ import annotations

import torch
from torch import Tensor

from xmap.stages.fewshot.task import Retrieved, Segments


def affinity(similarity: Tensor, beta: float | Tensor) -> Tensor:
    """`exp(-beta (1 - similarity))`, element by element."""
    return torch.exp((similarity - 1.0) * beta)


def class_sums(values: Tensor, segments: Segments) -> Tensor:
    """Values (B, M) over the keys of each class (B, N): a class's mean times the nominal shots K.

    That is Tip-Adapter's sum where shots are even, and independent of how often a class's keys are repeated where they are not. A
    class without keys sums to 0.
    """
    # Not by `len`, which is a number even while the rows are being traced (`stages.onnx`).
    if segments.even is not None:
        sums = values.reshape(values.shape[0], segments.classes, segments.even).sum(-1)
    else:
        sums = values.new_zeros(values.shape[0], segments.classes).index_add_(1, segments.labels, values)
    return sums * class_scale(segments)


def class_scale(segments: Segments) -> Tensor:
    """K / n_c for each class (N,), 0 for a class without keys."""
    return torch.where(segments.counts > 0, segments.shots / segments.counts.clamp(min=1.0), 0.0)


def sparse_class_sums(scores: Tensor, rows: Tensor, beta: float, segments: Segments) -> Tensor:
    """Class sums (B, N) from retrieved keys only: `scores` (B, k) similarities and `rows` (B, k) key numbers (-1: none)."""
    values = torch.where(rows >= 0, affinity(scores, beta), 0.0)
    labels = segments.labels[rows.clamp(min=0)]
    sums = values.new_zeros(len(values), segments.classes).scatter_add_(1, labels, values)
    return sums * class_scale(segments)


def masked_class_sums(values: Tensor, own: Tensor, segments: Segments) -> Tensor:
    """Scaled class sums of support queries that must not meet themselves.

    `own` (B,) is each query's own key. Its affinity leaves the sum, and the true class's sum is rescaled by n_c / (n_c - 1);
    with n_c = 1 the true class's image term is absent (0).
    """
    batch = torch.arange(len(own), device=own.device)
    keep = torch.ones_like(values).index_put_((batch, own), values.new_zeros(()))
    return class_sums(values * keep, segments) * left_out_scale(own, segments)


def left_out_scale(own: Tensor, segments: Segments) -> Tensor:
    """What the class sums (B, N) of queries without their own keys `own` (B,) are multiplied with: n_c / (n_c - 1) in the own class."""
    labels = segments.labels[own]
    counts = segments.counts[labels]
    rescale = torch.where(counts > 1, counts / (counts - 1).clamp(min=1.0), 0.0)
    return counts.new_ones(len(own), segments.classes).scatter_(1, labels[:, None], rescale[:, None])


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
