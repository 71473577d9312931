"""Every figure holds for constant, nearly constant, single, empty and endless columns."""

from __future__ import annotations

import json
import math
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from xmap.stages.ablate.figure import Point, draw
from xmap.stages.pages.scale import scale
from xmap.stages.report.series import histogram

pytestmark = pytest.mark.failure("odd output")

NEAR = [1.0, np.nextafter(1.0, 2.0), 0.9999999, 0.3, -2.5e-7]
any_number = st.one_of(st.floats(), st.floats(width=32), st.sampled_from([*NEAR, math.nan, math.inf, -math.inf, 1e308, -1e308, 1e-300]))


@given(arrays.arrays(np.float64, st.integers(1, 40), elements=any_number), st.data())
@example(np.array([1.0, np.nextafter(1.0, 2.0)]), None)
@example(np.array([1e8, 1e8 + 1.0]), None)
@example(np.array([-1e308, 1e308]), None)
@example(np.full(3000, 0.0003333), None)
def test_a_histogram_counts_every_finite_value_once(values: np.ndarray, data: st.DataObject | None) -> None:
    if not np.isfinite(values).any():
        values[0] = 0.5
    correct = np.arange(len(values)) % 2 == 0 if data is None else data.draw(arrays.arrays(np.bool_, len(values)))
    found = json.loads(json.dumps(histogram(values, correct), allow_nan=False))
    there = np.isfinite(values)
    assert sum(found["right"]) == (there & correct).sum()
    assert sum(found["wrong"]) == (there & ~correct).sum()
    assert len(found["right"]) == len(found["wrong"]) in (1, 30)
    assert found["from"] < found["to"] or len(found["right"]) == 1


@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=60))
def test_ordinary_histograms_are_those_of_numpy(values: list[float]) -> None:
    column = np.asarray(values, np.float32)
    found = histogram(column, np.ones(len(column), bool))
    if len(found["right"]) == 30:
        wanted = np.histogram(column.astype(np.float64), 30, (float(column.min()), float(column.max())))[0]
        assert np.abs(np.cumsum(found["right"]) - np.cumsum(wanted)).max() <= (len(values) + 29) // 30 + 2


@given(st.lists(st.tuples(any_number, any_number, any_number, st.booleans()), max_size=9))
@example([])
@example([(1.0, 1.0, 1.0, True)])
@example([(1e17, 1e17, 1e17, True)])
@example([(math.nan, math.nan, math.nan, True), (50.0, 49.0, 51.0, False)])
def test_a_figure_of_any_points_is_a_picture_of_finite_numbers(rows: list[tuple[float, float, float, bool]]) -> None:
    points = [Point(str(place), *row) for place, row in enumerate(rows)]
    text = draw("title", "across", "up", points)
    root = ElementTree.fromstring(text)  # noqa: S314 (our own text)
    places = [float(value) for found in root.iter() for name, value in found.attrib.items() if name in ("x", "y", "y1", "y2", "cx", "cy")]
    assert all(math.isfinite(place) and -10 <= place <= 700 for place in places)
    assert sum(1 for found in root.iter() if found.get("class") == "grid") < 20


@given(st.lists(any_number, min_size=1, max_size=9), st.lists(any_number, max_size=9))
def test_an_axis_has_room(lows: list[float], highs: list[float]) -> None:
    bottom, top, step = scale(lows, highs)
    assert math.isfinite(bottom)
    assert math.isfinite(top)
    assert bottom < top
    assert step > 0
