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


class Optimiser(Protocol):
    """What moves parameters by their gradients."""

    def step(self, rate: float) -> None:
        """Move each parameter that has a gradient, at the learning rate `rate`."""


MakeOptimiser = Callable[[Sequence[Tensor]], Optimiser]


class AdamW:
    """Adam with decoupled weight decay, and betas 0.9 and 0.999."""

    def __init__(self, parameters: Sequence[Tensor], epsilon: float, weight_decay: float) -> None:
        self._parameters, self._epsilon, self._weight_decay = parameters, epsilon, weight_decay
        self._means = [torch.zeros_like(parameter) for parameter in parameters]
        self._squares = [torch.zeros_like(parameter) for parameter in parameters]
        self._steps = [torch.tensor(0.0) for _ in parameters]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        there = [place for place, parameter in enumerate(self._parameters) if parameter.grad is not None]
        moved = [[state[place] for place in there] for state in (self._parameters, self._means, self._squares, self._steps)]
        parameters, means, squares, steps = moved
        adamw(
            parameters, [parameter.grad for parameter in parameters if parameter.grad is not None], means, squares, [], steps,
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


def adam(epsilon: float = 1e-8, weight_decay: float = 0.0) -> MakeOptimiser:
    """AdamW, which without decay is Adam."""
    return partial(AdamW, epsilon=epsilon, weight_decay=weight_decay)


ADAM, SGD = adam(), Momentum
