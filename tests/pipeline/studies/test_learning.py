"""Learning curves of what a bench or several evaluations measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.worlds.commands import call
from tests.worlds.inputs import write_layout
from xmap.pipeline.studies.learning import has_curve, picture, picture_file
from xmap.store.errors import InputError, OutputError


def row(method: str, shots: int) -> dict[str, Any]:
    return {"method": method, "shots": shots, "accuracy_mean": 50.0 + shots, "accuracy_ci95": [49.0, 60.0], "ci_kind": "over seeds"}


def test_shots_are_in_order_and_what_intervals_are_over_is_said() -> None:
    text = picture([("pets", row("gda", 4)), ("pets", row("gda", 1)), ("birds", row("gda", 2))], "measured once")
    assert text.index("gda, 1 shots: 51.00") < text.index("gda, 4 shots: 54.00")
    assert "measured once; bars: 95 % intervals, over seeds" in text
    assert text.count('class="title"') == 2


@pytest.mark.parametrize(
    ("places", "curve"),
    [
        ([("a", "x", 1), ("a", "x", 2)], True),
        ([("a", "x", 1), ("b", "x", 2)], False),
        ([("a", "x", 1), ("a", "y", 2)], False),
        ([("a", "x", 1), ("a", "x", 2), ("a", "x", 2)], False),
        ([], False),
    ],
)
def test_a_curve_is_one_method_on_one_data_set_once_at_each_number_of_shots(places: list[tuple[str, str, int]], curve: bool) -> None:
    assert has_curve([(title, row(method, shots)) for title, method, shots in places]) == curve


def test_a_picture_is_svg_in_a_place_that_is_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"pictures are written as SVG"):
        picture_file(tmp_path / "x.png")
    with pytest.raises(OutputError):
        picture_file(tmp_path / "absent" / "x.svg")


def test_a_bench_draws_one_and_a_report_of_its_runs_shows_it(tmp_path: Path) -> None:
    layout = write_layout(tmp_path / "toy", shots=(1, 2))
    assert call("import", "tip-adapter", layout, "--quiet").exit_code == 0
    words = ("bench", "--features", "toy", "--shots", "1-2", "--methods", "zero-shot,tip-adapter", "--seeds", "1", "--quiet")
    refused = call(*words, "--picture", tmp_path / "curves.png")
    assert (refused.exit_code, refused.stdout) == (2, "")
    result = call(*words, "--picture", tmp_path / "curves.svg", "--format", "markdown")
    assert result.exit_code == 0, result.output
    text = (tmp_path / "curves.svg").read_text("utf-8")
    assert len(list(ElementTree.fromstring(text).iter("{http://www.w3.org/2000/svg}polyline"))) == 2  # noqa: S314 (our own text)
    for names, shown in ((("toy-1shot", "toy-2shot"), True), (("toy",), False)):
        assert call("report", *names, "-o", tmp_path / "report.html", "--quiet").exit_code == 0
        assert ('"learning":"data:image/svg+xml;base64,' in (tmp_path / "report.html").read_text("utf-8")) == shown
