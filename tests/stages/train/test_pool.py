"""What a vector of a pool is known by: where it points, in whatever number format it was kept."""

from __future__ import annotations

import numpy as np
import pytest

from xmap.stages.train.pool import BLOCK, FEW, _points_alike, _unit


@pytest.mark.parametrize("silent", [0, FEW])
def test_copies_in_another_number_format_point_alike_and_neighbours_do_not(silent: int) -> None:
    draw = np.random.default_rng(1)
    others, ours = (draw.normal(size=(rows, 2 * FEW)).astype(np.float32) for rows in (40, BLOCK + 7))
    # Where the first coordinates say nothing the others do.
    others[:, :silent] = ours[:, :silent] = 0.0
    ours[[3, BLOCK + 2]] = 2 * others[[5, 6]].astype(np.float16).astype(np.float32)
    ours[9] = others[7] * (1 + 0.01 * draw.normal(size=2 * FEW))
    assert np.flatnonzero(_points_alike(_unit(ours), _unit(others))).tolist() == [3, BLOCK + 2]
