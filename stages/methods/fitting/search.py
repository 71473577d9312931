"""Choosing settings on validation samples, and only there.

A grid is searched in full; while the best value of a setting lies at the edge of its grid, the grid is widened that way
(at most `WIDENINGS` times). Among settings of equal accuracy the one with the smaller cross-entropy wins: with a few dozen
validation samples accuracy alone ties too often.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import cross_entropy

from xmap.stages.methods.searched import Grid

WIDENINGS = 3


@dataclass(frozen=True)
class Choice:
    """The chosen setting values, the accuracy (percent) and cross-entropy they reached, and what was tried."""

    values: Mapping[str, float]
    accuracy: float
    cross_entropy: float
    trials: int
    grid: Mapping[str, list[float]]
    edges: tuple[str, ...]


def quality(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """(accuracy in percent, minus the cross-entropy): larger is better, first by accuracy."""
    accuracy = 100.0 * float((logits.argmax(1) == labels).double().mean())
    return accuracy, -float(cross_entropy(logits, labels))


def search(grids: Mapping[str, Grid], labels: Tensor, logits: Callable[[Mapping[str, float]], Tensor]) -> Choice:
    """Search the product of `grids` for the settings whose validation logits are best, widening where the edge wins."""
    values = {name: list(grid.values) for name, grid in grids.items()}
    seen: dict[tuple[float, ...], tuple[float, float]] = {}
    for widening in range(WIDENINGS + 1):
        for point in _product(list(values.values())):
            if point not in seen:
                seen[point] = quality(logits(dict(zip(values, point, strict=True))), labels)
        best = max(seen, key=lambda point: seen[point])
        edges = _edges(values, dict(zip(values, best, strict=True)))
        growing = {name: side for name, side in edges.items() if grids[name].widen}
        if not growing or widening == WIDENINGS:
            break
        for name, side in growing.items():
            values[name] = _widened(values[name], side)
    accuracy, negative = seen[best]
    return Choice(dict(zip(values, best, strict=True)), accuracy, -negative, len(seen), values, tuple(edges))


def _product(axes: Sequence[Sequence[float]]) -> list[tuple[float, ...]]:
    points: list[tuple[float, ...]] = [()]
    for axis in axes:
        points = [(*point, value) for point in points for value in axis]
    return points


def _edges(values: Mapping[str, list[float]], best: Mapping[str, float]) -> dict[str, int]:
    sides = {name: -1 if best[name] == axis[0] else 1 if best[name] == axis[-1] else 0 for name, axis in values.items() if len(axis) > 1}
    return {name: side for name, side in sides.items() if side}


def _widened(values: list[float], side: int) -> list[float]:
    """Two more values beyond one edge, at the ratio of the two outermost ones; a zero edge is a natural end."""
    edge, inner = (values[-1], values[-2]) if side > 0 else (values[0], values[1])
    if edge <= 0 or inner <= 0:
        return values
    ratio = edge / inner
    more = [edge * ratio, edge * ratio * ratio]
    return [*values, *more] if side > 0 else [*reversed(more), *values]
