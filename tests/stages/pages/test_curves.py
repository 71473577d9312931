"""Learning curves as SVG: one that a browser reads, whatever the names are, with names that stay apart."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from xmap.stages.methods.registry import METHODS
from xmap.stages.pages.curves import COLOURS, DARK, INK, KINDS, LINE, CurvePoint, Panel, apart, draw

SVG = "{http://www.w3.org/2000/svg}"
SHOTS = (1, 2, 4, 8, 16)


def panel(methods: int, title: str = "pets", shots: tuple[int, ...] = SHOTS) -> Panel:
    return Panel(
        title, {f"method-{one}": [CurvePoint(count, 60 + one + count / 4, 59.0, 61.0 + one) for count in shots] for one in range(methods)}
    )


@pytest.mark.parametrize("methods", [1, 2, 15, 40])
@pytest.mark.parametrize("panels", [1, 2, 5])
def test_all_is_within_the_picture_and_names_stay_apart(methods: int, panels: int) -> None:
    text = draw([panel(methods, f"set {place}") for place in range(panels)], (), "a caption of many words " * 20)
    root = ElementTree.fromstring(text)  # noqa: S314 (our own text)
    width, height = (float(root.attrib[name]) for name in ("width", "height"))
    assert root.attrib["viewBox"] == f"0 0 {width:.0f} {height:.0f}"
    groups = root.findall(f"{SVG}g")
    assert len(groups) == panels
    for group in groups:
        left, up = (float(number) for number in re.findall(r"[\d.]+", group.attrib["transform"]))
        texts = [(float(text.get("x", 0)), float(text.get("y", 0)), text.text or "") for text in group.iter(f"{SVG}text")]
        named = sorted(y for _, y, word in texts if word.startswith("method-"))
        assert len(named) == methods
        assert all(below - above >= LINE - 0.2 for above, below in pairwise(named))
        assert all(0 <= left + x + 6 * len(word) / 2 <= width and 0 <= up + y <= height for x, y, word in texts)
    assert all(0 < float(text.attrib["y"]) < height for text in root.findall(f"{SVG}text"))


@pytest.mark.parametrize("points", [
    [CurvePoint(4, 100.0, 100.0, 100.0)], [CurvePoint(1, 0.0, 0.0, 0.0), CurvePoint(2, 0.0, 0.0, 0.0)],
    [CurvePoint(1, 50.0, math.nan, math.nan)],
    [CurvePoint(1, 99.9, 99.0, 100.0), CurvePoint(1000, 100.0, 99.9, 100.0)],
])  # fmt: skip
def test_flat_and_single_values_have_an_axis(points: list[CurvePoint]) -> None:
    text = draw([Panel("x", {"a": points})], ("a",), "")
    ElementTree.fromstring(text)  # noqa: S314 (our own text)
    assert "nan" not in re.sub(r"<title>.*?</title>", "", text)


def test_nothing_to_show_is_a_picture_too() -> None:
    ElementTree.fromstring(draw([], (), ""))  # noqa: S314 (our own text)


def test_names_are_text() -> None:
    hostile = "</text><script>alert(1)</script>&\"'"
    root = ElementTree.fromstring(draw([Panel(hostile, {hostile: [CurvePoint(1, 50.0, 40.0, 60.0)]})], (), hostile))  # noqa: S314 (our own text)
    assert not list(root.iter(f"{SVG}script"))
    assert [text.text for text in root.iter(f"{SVG}text")].count(hostile) == 3


def test_a_method_looks_the_same_beside_others() -> None:
    def looks(methods: int) -> str:
        found = re.search(r'<g class="curve (m\d+)">', draw([panel(methods)], ("method-0", "method-1"), ""))
        assert found
        return found[1]

    assert looks(1) == looks(5)


def test_every_method_has_a_mark_of_its_own() -> None:
    names = tuple(METHODS)
    root = ElementTree.fromstring(draw([Panel("x", {name: [CurvePoint(1, 50.0, 40.0, 60.0)] for name in names})], names, ""))  # noqa: S314 (our own text)
    marks = [path for path in root.iter(f"{SVG}path") if path.attrib["class"] in KINDS and not list(path)]
    assert len(marks) == len({(path.attrib["d"], path.attrib["class"]) for path in marks}) == len(names)


@pytest.mark.parametrize("shade", [0, 1])
def test_lines_are_seen_on_their_ground(shade: int) -> None:
    ground = re.findall(r"\.paper\{fill:(#\w+)\}", (INK, DARK)[shade])[0]
    assert min(contrast(inks[shade], ground) for inks in COLOURS) > 3.0


def contrast(one: str, other: str) -> float:
    """The ratio of luminances, as the guidelines for web content have it."""
    low, high = sorted(luminance(colour) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_names_move_apart_only_where_they_must() -> None:
    assert apart({"a": 100.0, "b": 200.0}, 50, 300) == {"a": 100.0, "b": 200.0}
    assert apart({"a": 300.0, "b": 300.0, "c": 40.0}, 50, 300) == {"c": 50.0, "a": 300.0 - LINE, "b": 300.0}
