"""Class sums of the affinities to keys that are being trained, forward and backward at little more than two matrix products.

    S_bc = K / n_c  sum_{j of c} exp(-beta (1 - f_b . k_j))

What autograd would spend on top of the products `f K^T` and `G^T f` is memory traffic over B x M values, and the published
formula adds two products with the M x N one-hot matrix. Here keys are rows, so that a class is a run of rows to be added up;
all that is done element by element happens in place, a block of keys at a time, while the block is in the processor's cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from xmap.stages.fewshot.task import Segments
from xmap.stages.methods.maths.affinity import class_scale, left_out_scale

# Keys in a block: with 256 queries 1 MB of affinities, which stays in a core's second-level cache.
BLOCK = 1024
TINY = 1e-12


@dataclass(frozen=True)
class Kernel:
    """How near a key is to a query: at `beta`, and with `unit` after the key is normalised."""

    segments: Segments
    beta: float
    unit: bool


class TrainedKeySums:
    """Scaled class sums (B, N) of queries and trained keys; steps share one buffer (M, B), so one step ends before the next begins.

    With `unit` the keys are normalised on the way, and their gradient is that of the keys as they are.
    """

    def __init__(self, segments: Segments, beta: float, unit: bool) -> None:
        self._kernel = Kernel(segments, beta, unit)
        self._scale = class_scale(segments)
        self._buffer = torch.empty(0)

    def __call__(self, features: Tensor, keys: Tensor, own: Tensor | None = None) -> Tensor:
        """The sums for unit `features` (B, C), which get no gradient, and `keys` (M, C).

        `own` (B,) is each query's own key, which it does not meet (`stages.methods.maths.affinity.masked_class_sums`).
        """
        if self._buffer.shape != (len(keys), len(features)):
            self._buffer = keys.new_empty(len(keys), len(features))
        sums: Tensor = _Sums.apply(features, keys, own, self._buffer, self._kernel)
        sums = sums * self._scale
        return sums if own is None else sums * left_out_scale(own, self._kernel.segments)


class _Sums(torch.autograd.Function):
    """Plain class sums (B, N), with the gradient of the keys alone."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, keys: Tensor, own: Tensor | None, values: Tensor, kernel: Kernel) -> Tensor:
        segments, beta, unit = kernel.segments, kernel.beta, kernel.unit
        inverse = 1.0 / torch.linalg.vector_norm(keys, dim=1, keepdim=True).clamp(min=TINY) if unit else keys.new_empty(0, 1)
        columns = (features * beta).T.contiguous()
        for start in range(0, len(keys), BLOCK):
            rows = slice(start, start + BLOCK)
            block = torch.mm(keys[rows], columns, out=values[rows])
            if unit:
                block.mul_(inverse[rows])
            block.sub_(beta).exp_()
        if own is not None:
            values[own, torch.arange(len(own), device=own.device)] = 0.0
        sums = values.new_zeros(segments.classes, len(features)).index_add_(0, segments.labels, values)
        ctx.mark_non_differentiable(values)
        ctx.save_for_backward(features, keys, values, inverse, segments.labels)
        ctx.beta, ctx.unit = beta, unit
        return sums.T

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, keys, values, inverse, labels = ctx.saved_tensors
        by_class = (gradient * ctx.beta).T.contiguous()
        found = torch.empty_like(keys)
        for start in range(0, len(keys), BLOCK):
            rows = slice(start, start + BLOCK)
            block = torch.mm(values[rows].mul_(by_class[labels[rows]]), features, out=found[rows])
            if ctx.unit:
                # d norm(k): what points along the key changes its length alone.
                block.mul_(inverse[rows])
                along = torch.linalg.vecdot(block, keys[rows]).unsqueeze(1) * inverse[rows].square()
                block.addcmul_(keys[rows], along, value=-1.0)
        return None, found, None, None, None
