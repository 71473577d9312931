"""Class sums of trained keys: the formula's values and gradient, at a fraction of its cost."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from xmap.stages.fewshot.task import Segments
from xmap.stages.methods.maths.affinity import affinity, class_scale, masked_class_sums
from xmap.stages.methods.maths.trained_keys import BLOCK, TrainedKeySums


def segments(counts: list[int]) -> Segments:
    return Segments.of(torch.arange(len(counts)).repeat_interleave(torch.tensor(counts)), len(counts), max(counts))


def dense(features: Tensor, keys: Tensor, split: Segments, beta: float, unit: bool, own: Tensor | None) -> Tensor:
    """The formula with its one-hot product and autograd's gradient."""
    values = affinity(features @ (normalize(keys, dim=-1) if unit else keys).T, beta)
    if own is not None:
        return masked_class_sums(values, own, split)
    return values @ one_hot(split.labels, split.classes).to(values) * class_scale(split)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.booleans(), st.booleans(), st.integers(0, 9))
def test_values_and_gradient_are_those_of_the_formula(counts: list[int], unit: bool, masked: bool, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    split = segments(counts)
    features = normalize(torch.randn(7, 4, generator=draw, dtype=torch.float64), dim=-1)
    keys = torch.randn(sum(counts), 4, generator=draw, dtype=torch.float64).requires_grad_()
    own = torch.randint(0, sum(counts), (7,), generator=draw) if masked else None
    weight = torch.randn(7, len(counts), generator=draw, dtype=torch.float64)
    expected = dense(features, keys, split, 2.0, unit, own)
    (gradient,) = torch.autograd.grad((expected * weight).sum(), keys)
    sums = TrainedKeySums(split, 2.0, unit)(features, keys, own)
    (found,) = torch.autograd.grad((sums * weight).sum(), keys)
    torch.testing.assert_close(sums, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found, gradient, rtol=1e-5, atol=1e-6)


def test_more_keys_than_a_block_and_a_second_step_in_the_same_buffer() -> None:
    split = segments([3] * (BLOCK // 2))
    draw = torch.Generator().manual_seed(1)
    layer = TrainedKeySums(split, 2.0, unit=True)
    for _ in range(2):
        features = normalize(torch.randn(5, 8, generator=draw), dim=-1)
        keys = torch.randn(len(split.labels), 8, generator=draw).requires_grad_()
        expected = dense(features, keys, split, 2.0, True, None)
        (gradient,) = torch.autograd.grad(expected.square().sum(), keys)
        sums = layer(features, keys)
        torch.testing.assert_close(sums, expected, rtol=1e-4, atol=1e-5)
        (found,) = torch.autograd.grad(sums.square().sum(), keys)
        torch.testing.assert_close(found, gradient, rtol=1e-3, atol=1e-4)
