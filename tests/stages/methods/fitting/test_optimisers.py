"""The optimisers are torch's, bit for bit, and bring no compiler along."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from xmap.stages.methods.fitting.optimisers import SGD, MakeOptimiser, adam, in_blocks

ROOT = Path(__file__).resolve().parents[4]
PAIRS: dict[str, tuple[MakeOptimiser, Callable[..., Any]]] = {
    "adam": (adam(), lambda parameters: torch.optim.AdamW(parameters, weight_decay=0.0)),
    "decaying": (adam(1e-4, 0.01), lambda parameters: torch.optim.AdamW(parameters, eps=1e-4, weight_decay=0.01)),
    "sgd": (SGD, lambda parameters: torch.optim.SGD(parameters, momentum=0.9)),
}


def parameters() -> list[Tensor]:
    draw = torch.Generator().manual_seed(1)
    return [torch.randn(shape, generator=draw).requires_grad_() for shape in ((7, 5), (3,), ())]


@pytest.mark.parametrize("name", PAIRS)
def test_ten_steps_are_those_of_the_class(name: str) -> None:
    """With a rate that changes, and a parameter that has no gradient in some steps."""
    make, torchs = PAIRS[name]
    mine, others = parameters(), parameters()
    optimiser, reference = make(mine), torchs(others)
    draw = torch.Generator().manual_seed(2)
    for step in range(10):
        for place, (one, other) in enumerate(zip(mine, others, strict=True)):
            drawn = torch.randn(one.shape, generator=draw)
            one.grad, other.grad = (None, None) if place == step % 4 else (drawn, drawn.clone())
        rate = 0.1 / (1 + step)
        for group in reference.param_groups:
            group["lr"] = rate
        optimiser.step(rate)
        reference.step()
        assert all(torch.equal(one, other) for one, other in zip(mine, others, strict=True))


@pytest.mark.parametrize("shape", [(700, 512), (4099, 77), (300_001,), (2, 70_001)])
def test_a_large_parameter_is_moved_in_blocks_to_the_same_bits(shape: tuple[int, ...]) -> None:
    draw = torch.Generator().manual_seed(3)
    one = torch.randn(shape, generator=draw).requires_grad_()
    other = one.detach().clone().requires_grad_()
    optimiser, reference = adam(weight_decay=0.01)([one]), torch.optim.AdamW([other], lr=0.05)
    assert len(in_blocks(one)) > 1 or shape[0] < 64
    for _ in range(3):
        drawn = torch.randn(shape, generator=draw)
        one.grad, other.grad = drawn, drawn.clone()
        optimiser.step(0.05)
        reference.step()
    assert torch.equal(one, other)


TRAIN = """
import sys, torch
from xmap.stages.machine.device import repeatable
from xmap.stages.methods.fitting.optimisers import ADAM, SGD
for make in (ADAM, SGD):
    weights = torch.ones(3, requires_grad=True)
    with repeatable(1, "cpu"):
        weights.sum().backward()
        make([weights]).step(0.1)
print(float(weights[0]), [name for name in ("torch._dynamo", "torch._inductor", "sympy") if name in sys.modules])
"""


def test_a_step_imports_no_compiler() -> None:
    done = subprocess.run([sys.executable, "-c", TRAIN], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split(" ", 1)[1].strip() == "[]"
