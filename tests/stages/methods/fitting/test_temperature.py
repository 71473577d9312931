"""The temperature: the minimum of what is declared, near 1 where little is known, and no answer is changed by it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from xmap.stages.methods.fitting.temperature import SPREAD, WIDEST, fit_temperature


def drawn(samples: int, true: float, classes: int = 5, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits whose labels follow softmax(logits / true)."""
    random = np.random.default_rng(seed)
    logits = torch.from_numpy(4.0 * random.normal(size=(samples, classes))).float()
    chances = (logits.double() / true).softmax(1).numpy()
    labels = torch.tensor([random.choice(classes, p=row / row.sum()) for row in chances])
    return logits, labels


def declared(logits: torch.Tensor, labels: torch.Tensor, temperature: float) -> float:
    belief = np.log(temperature) ** 2 / (2 * SPREAD**2)
    return float(cross_entropy(logits.double() / temperature, labels, reduction="sum")) + belief


@pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
def test_it_is_the_least_of_what_is_declared_and_thousands_of_samples_show_the_truth(true: float) -> None:
    logits, labels = drawn(5000, true)
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(true, rel=0.08)
    assert declared(logits, labels, found) <= min(declared(logits, labels, found * factor) for factor in (0.5, 0.99, 1.01, 2.0)) + 1e-6


def test_samples_without_a_mistake_do_not_make_an_adapter_infallible() -> None:
    logits, labels = 5.0 * torch.eye(6), torch.arange(6)
    assert 0.6 < fit_temperature(logits, labels) < 1.0
    assert 1.0 < fit_temperature(logits, labels.flip(0)) < WIDEST


def test_nothing_to_fit_on_leaves_probabilities_as_trained() -> None:
    assert fit_temperature(torch.empty(0, 3), torch.empty(0, dtype=torch.int64)) == 1.0
    assert fit_temperature(torch.zeros(4, 1), torch.zeros(4, dtype=torch.int64)) == 1.0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.floats(-1e4, 1e4, width=32), min_size=3, max_size=3), min_size=1, max_size=8),
    st.integers(0, 2**16),
)
def test_whatever_the_logits_it_is_bounded_and_changes_no_answer(rows: list[list[float]], seed: int) -> None:
    logits = torch.tensor(rows)
    found = fit_temperature(logits, torch.from_numpy(np.random.default_rng(seed).integers(0, 3, len(rows))))
    assert 1 / WIDEST <= found <= WIDEST
    best = (logits.double() / found).argmax(1)
    assert torch.equal(logits.gather(1, best[:, None]), logits.amax(1, keepdim=True))
