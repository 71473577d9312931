"""The search over settings: complete, widened at edges, decided by accuracy and then by cross-entropy."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch

from xmap.stages.methods.fitting.search import Grid, quality, search

LABELS = torch.tensor([0, 1])


def logits_peaking_at(best: float) -> Callable[[Mapping[str, float]], torch.Tensor]:
    """Cross-entropy is least where `x` is `best`; accuracy is the same everywhere."""

    def logits(point: Mapping[str, float]) -> torch.Tensor:
        height = 5.0 - abs(np.log(point["x"] / best))
        return torch.tensor([[height, 0.0], [0.0, height]])

    return logits


def test_quality_is_accuracy_then_cross_entropy() -> None:
    accuracy, negative = quality(torch.tensor([[2.0, 0.0], [2.0, 0.0]]), LABELS)
    assert accuracy == 50.0
    assert negative == pytest.approx(-(np.log(1 + np.exp(-2)) + np.log(1 + np.exp(2))) / 2)


def test_the_best_inside_the_grid_needs_no_widening() -> None:
    choice = search({"x": Grid((1.0, 2.0, 4.0))}, LABELS, logits_peaking_at(2.0))
    assert (dict(choice.values), choice.trials, choice.edges) == ({"x": 2.0}, 3, ())


@pytest.mark.parametrize("best", [16.0, 0.125])
def test_a_choice_at_the_edge_widens_the_grid(best: float) -> None:
    choice = search({"x": Grid((1.0, 2.0, 4.0))}, LABELS, logits_peaking_at(best))
    assert choice.values["x"] == best
    assert choice.edges == ()
    assert choice.trials == len(choice.grid["x"]) > 3


def test_an_edge_that_stays_is_reported() -> None:
    choice = search({"x": Grid((1.0, 2.0))}, LABELS, logits_peaking_at(1e9))
    assert choice.edges == ("x",)
    assert choice.values["x"] == choice.grid["x"][-1] == 2.0**7


def test_a_grid_with_natural_ends_is_not_widened() -> None:
    choice = search({"x": Grid((1.0, 2.0), widen=False)}, LABELS, logits_peaking_at(1e9))
    assert choice.grid["x"] == [1.0, 2.0]
    assert choice.trials == 2


def test_accuracy_goes_before_cross_entropy() -> None:
    def logits(point: Mapping[str, float]) -> torch.Tensor:
        # x = 1 is barely right on both; x = 2 is sure of one and wrong on the other by little.
        return torch.tensor([[0.1, 0.0], [0.0, 0.1]]) if point["x"] == 1.0 else torch.tensor([[9.0, 0.0], [0.1, 0.0]])

    choice = search({"x": Grid((1.0, 2.0), widen=False)}, LABELS, logits)
    assert (choice.values["x"], choice.accuracy) == (1.0, 100.0)


def test_every_point_of_a_product_is_tried_once() -> None:
    seen: list[tuple[float, float]] = []

    def logits(point: Mapping[str, float]) -> torch.Tensor:
        seen.append((point["x"], point["y"]))
        return torch.zeros(2, 2)

    choice = search({"x": Grid((1.0, 2.0), widen=False), "y": Grid((0.0, 0.5, 1.0), widen=False)}, LABELS, logits)
    assert choice.trials == len(seen) == len(set(seen)) == 6
