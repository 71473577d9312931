"""The space of a cache in which images of one class lie alike in all directions: where it shows whether an image is like any class.

    S_w    covariance of the keys around their class means, shrunk towards a round one by how few keys there are
    A      the root of its inverse: S_w is the identity of the space
    m_c    norm((mean of a class's keys - center) A)
and a query f lies there at norm((f - center) A). This is the class-wise Mahalanobis distance with a shared covariance (Lee et al., 2018),
as an angle: long vectors, which are far from all, do not lie near the class of the longest mean.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from xmap.stages.fewshot.task import Segments

# How fast the covariance of the support is trusted, per dimension.
SHRINK = 0.4
# The least variance of a direction: keys may be the same image again and again.
LEAST = 1e-9


@dataclass(frozen=True)
class Space:
    """Where queries go, and the classes there: `center` (C,), `root` (C, C), unit `classes` (N, C), of a class without keys 0."""

    center: Tensor
    root: Tensor
    classes: Tensor

    @classmethod
    def of(cls, chunks: Iterable[Tensor], segments: Segments) -> Space:
        """Learn the space of unit keys that come in chunks (m, C), row by row as `segments` say; all is summed in float64."""
        labels, counts = segments.labels.cpu(), segments.counts.cpu().double()[:, None]
        sums, squares, start = torch.zeros(0), torch.zeros(0), 0
        for chunk in chunks:
            keys = chunk.cpu().double()
            if not start:
                sums, squares = keys.new_zeros(len(counts), keys.shape[1]), keys.new_zeros(keys.shape[1], keys.shape[1])
            sums.index_add_(0, labels[start : start + len(keys)], keys)
            squares += keys.T @ keys
            start += len(keys)
        seen, means = counts[:, 0] > 0, sums / counts.clamp(min=1.0)
        center = means[seen].mean(0)
        scatter, freedom = squares - sums.T @ means, start - int(seen.sum())
        # Single keys of their classes say nothing of it: any round one makes the same angles.
        size = max(float(scatter.trace()) / freedom / len(scatter), LEAST) if freedom > 0 else 1.0
        trust, identity = shrinkage(len(scatter), freedom), torch.eye(len(scatter), dtype=scatter.dtype)
        within = (1.0 - trust) * scatter / max(freedom, 1) + trust * size * identity
        root = torch.linalg.cholesky(torch.linalg.inv(within))
        classes = torch.where(seen[:, None], normalize((means - center) @ root, dim=-1), 0.0)
        return cls(center.float(), root.float(), classes.float())

    def cosines(self, features: Tensor) -> Tensor:
        """How near unit features (B, C) lie to each class: cosines (B, N) float32, 0 for a class without keys."""
        return normalize((features.cpu() - self.center) @ self.root, dim=-1) @ self.classes.T


def shrinkage(width: int, freedom: float) -> float:
    """How far a covariance (width, width) of so many free deviations is shrunk towards a round one: 1 for none of them."""
    return width / (width + SHRINK * max(freedom, 0))
