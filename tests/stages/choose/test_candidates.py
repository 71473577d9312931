"""Why an image is worth a label, in words."""

from __future__ import annotations

import numpy as np
import pytest

from xmap.stages.choose.candidates import _why
from xmap.stages.choose.ranking import ScoredPool


@pytest.mark.parametrize(("chance", "said"), [(0.3, "30.0"), (1e-5, "<0.1")])
def test_no_class_is_said_to_be_impossible(chance: float, said: str) -> None:
    unit = np.ones((1, 1), np.float32)
    pool = ScoredPool(unit, np.asarray([[1 - chance, chance]], np.float32), None, None, unit)
    assert _why(pool, 0, 1, ("ant", "bee")) == (f"or bee ({said} %)", "")
