"""The figure of an ablation: parseable SVG, names shown as text, an axis that holds every interval."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from xmap.stages.ablate.figure import Point, draw
from xmap.stages.pages.scale import scale

SVG = "{http://www.w3.org/2000/svg}"


def test_names_are_text_and_the_default_is_marked() -> None:
    points = [Point("<script>", 60.0, 58.0, 62.0), Point('"default"', 61.5, 60.0, 63.0, default=True)]
    root = ElementTree.fromstring(draw("A & B?", "x", "accuracy, %", points))  # noqa: S314 (our own text)
    texts = [found.text for found in root.iter(f"{SVG}text")]
    assert {"A & B?", "<script>", '"default"', "x", "accuracy, %"} <= set(texts)
    assert len(list(root.iter(f"{SVG}circle"))) == 1
    assert len(list(root.iter(f"{SVG}path"))) == 1


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 10)), min_size=1, max_size=9))
def test_the_axis_holds_every_interval_in_few_steps(intervals: list[tuple[float, float]]) -> None:
    lows, highs = [low for low, _ in intervals], [low + width for low, width in intervals]
    bottom, top, step = scale(lows, highs)
    assert bottom <= min(lows) + 1e-9
    assert top >= max(highs) - 1e-9
    assert (top - bottom) / step < 9
