"""Images that nobody has labelled, beside a few-shot task: they show what classes look like, never which class is which."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from xmap.stages.config import PoolShares


@dataclass(frozen=True)
class Pool:
    """Unit `features` (P, C) float32, some of them perhaps of none of the classes.

    `shares` says how much of it is taken for each class: as `given` (N,) float64, which sum to 1, `estimated` from the pool, or `free`,
    where each image is judged by itself. They are never taken to be equal.
    """

    features: Tensor
    shares: PoolShares = "estimated"
    given: Tensor | None = None

    def __len__(self) -> int:
        return len(self.features)

    def to(self, device: str) -> Pool:
        """The same pool with its tensors on `device`."""
        return replace(self, features=self.features.to(device), given=None if self.given is None else self.given.to(device))
