"""Peak memory is that of the work inside, not of the process's past."""

from __future__ import annotations

import numpy as np
import pytest

from xmap.stages.machine.memory import CLEAR, peak_memory

BIG = 200_000_000


@pytest.mark.skipif(not CLEAR.exists(), reason="this system cannot forget earlier peaks")
def test_only_the_work_inside_counts() -> None:
    with peak_memory("cpu") as quiet:
        pass
    with peak_memory("cpu") as busy:
        np.ones(BIG, np.uint8)
    with peak_memory("cpu") as after:
        pass
    assert quiet.peak_bytes
    assert busy.peak_bytes
    assert after.peak_bytes
    assert busy.peak_bytes - quiet.peak_bytes > 0.9 * BIG
    assert busy.peak_bytes - after.peak_bytes > 0.9 * BIG


def test_the_figure_is_there_when_the_work_fails() -> None:
    seen = []

    def fail() -> None:
        with peak_memory("cpu") as memory:
            seen.append(memory)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert seen[0].peak_bytes
