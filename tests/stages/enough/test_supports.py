"""At what numbers of shots a curve is measured."""

from __future__ import annotations

import pytest

from xmap.stages.enough.supports import _doubled


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([16, 16], [1, 2, 4, 8, 16]),
        ([20, 20, 20], [1, 2, 4, 8, 16, 20]),
        # A fifth more labels is no step.
        ([17, 17], [1, 2, 4, 8, 16]),
        # One class goes on alone, while that is much.
        ([64, 3, 3], [1, 2, 4, 8, 16, 32, 64]),
        ([64] + [8] * 60, [1, 2, 4, 8]),
        ([1, 1], [1]),
        ([0, 0], []),
    ],
)
def test_shots_double_as_long_as_there_are_labels(counts: list[int], expected: list[int]) -> None:
    assert _doubled(counts) == expected
