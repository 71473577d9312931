"""AdamW and SGD: torch's own, called as functions, step for step the numbers of its classes.

The classes import torch's compiler at their first step, which took as long as torch itself: a sixth of a run on cached features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import torch
from torch import Tensor
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

# Numbers of a parameter that are moved at a time on the CPU: what a step makes of them stays in the processor's cache, where a large
# parameter's would be written to memory and read again by each operation. Rows by this many are whole vectors: no bit is another.
BLOCK, ROWS = 1 << 17, 64


class Optimiser(Protocol):
    """What moves parameters by their gradients."""

    def step(self, rate: float) -> None:
        """Move each parameter that has a gradient, at the learning rate `rate`."""


MakeOptimiser = Callable[[Sequence[Tensor]], Optimiser]


class AdamW:
    """Adam with decoupled weight decay, and betas 0.9 and 0.999."""

    def __init__(self, parameters: Sequence[Tensor], epsilon: float, weight_decay: float) -> None:
        self._parameters, self._epsilon, self._weight_decay = parameters, epsilon, weight_decay
        self._blocks = [in_blocks(parameter.detach()) for parameter in parameters]
        # What is remembered of each block: the means of its gradients and of their squares, and its steps.
        self._states = [[(torch.zeros_like(block), torch.zeros_like(block), torch.tensor(0.0)) for block in own] for own in self._blocks]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        there = [place for place, parameter in enumerate(self._parameters) if parameter.grad is not None]
        states = [state for place in there for state in self._states[place]]
        adamw(
            [block for place in there for block in self._blocks[place]],
            [block for parameter in self._parameters if parameter.grad is not None for block in in_blocks(parameter.grad)],
            [state[0] for state in states], [state[1] for state in states], [], [state[2] for state in states],
            amsgrad=False, beta1=0.9, beta2=0.999, lr=rate, weight_decay=self._weight_decay, eps=self._epsilon, maximize=False,
        )  # fmt: skip


class Momentum:
    """Stochastic gradient descent with momentum 0.9."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._parameters, self._moments = parameters, dict[int, Tensor | None]()

    @torch.no_grad()
    def step(self, rate: float) -> None:
        there = [place for place, parameter in enumerate(self._parameters) if parameter.grad is not None]
        parameters, moments = [self._parameters[place] for place in there], [self._moments.get(place) for place in there]
        sgd(
            parameters, [parameter.grad for parameter in parameters if parameter.grad is not None], moments,
            weight_decay=0.0, momentum=0.9, lr=rate, dampening=0.0, nesterov=False, maximize=False,
        )  # fmt: skip
        self._moments.update(zip(there, moments, strict=True))


def in_blocks(parameter: Tensor) -> Sequence[Tensor]:
    """Views of runs of rows, together all of a parameter: several of a large one on the CPU."""
    if parameter.is_cuda or parameter.numel() <= BLOCK:
        return [parameter]
    rows = BLOCK * len(parameter) // parameter.numel()
    return torch.split(parameter, max(ROWS, rows // ROWS * ROWS))


def adam(epsilon: float = 1e-8, weight_decay: float = 0.0) -> MakeOptimiser:
    """AdamW, which without decay is Adam."""
    return partial(AdamW, epsilon=epsilon, weight_decay=weight_decay)


ADAM, SGD = adam(), Momentum
