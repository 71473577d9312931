"""Axes of figures: round numbers that hold what is shown."""

from __future__ import annotations

import math
from collections.abc import Sequence

TICKS = 5
SMALLEST, MOST = 1e-9, 1e15


def scale(lows: Sequence[float], highs: Sequence[float]) -> tuple[float, float, float]:
    """Bottom, top and step of an axis that holds all finite values up to 1e15, at round numbers; 0 to 1 where there are none."""
    found = [min(max(float(value), -MOST), MOST) for value in (*lows, *highs) if math.isfinite(value)]
    low, high = (min(found), max(found)) if found else (0.0, 1.0)
    # Of nearly equal numbers no more is told apart than they have digits.
    rough = max(high / TICKS - low / TICKS, 1e-3 / TICKS, SMALLEST * max(abs(low), abs(high)))
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - SMALLEST))
    return math.floor(low / step) * step, (math.floor(high / step) + 1) * step, step
