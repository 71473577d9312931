"""Learning curves as SVG: accuracy against shots, a line with intervals for each method, named at its end. Readable in light and dark.

A method has its colour, dashes and mark in every picture, and its name stands beside all three, so that colour is never needed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from textwrap import wrap

from xmap.stages.pages.scale import scale

# Of a panel: its plot with room for the axes around it, and behind it the names.
PLOT, LEFT, TOP, BOTTOM, HEIGHT = 460, 60, 44, 48, 380
LETTER, KEY, GAP, LINE = 7.2, 30, 26, 16
ACROSS = 2
# Points of accuracy that an axis shows at least.
LEAST = 2.0
# Told apart by all kinds of colour vision, in light and dark.
COLOURS = (("#0072b2", "#56b4e9"), ("#d55e00", "#ff8c42"), ("#007a5a", "#2fc89a"), ("#a3447f", "#e79fcb"), ("#8a6100", "#f0b73d"),
           ("#444444", "#cccccc"), ("#5b3fb5", "#b3a2f2"))  # fmt: skip
DASHES = ("", "7 4", "2 3")
# Each filled, and then open: one of its own for every method.
MARKS = (
    "M-4 -4h8v8h-8z", "M0 -5.5l5.5 5.5l-5.5 5.5l-5.5 -5.5z", "M0 -5l5 9h-10z", "M0 5l5 -9h-10z", "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
    "M-5 0l9 -5v10z", "M5 0l-9 -5v10z", "M-2 -5h4v3h3v4h-3v3h-4v-3h-3v-4h3z", "M0 -5l5 4l-2 6h-6l-2 -6z", "M-3 -5h6l3 5l-3 5h-6l-3 -5z",
    "M-5 -4h10l-5 4l5 4h-10l5 -4z", "M0 -6l2 4l4 2l-4 2l-2 4l-2 -4l-4 -2l4 -2z",
)  # fmt: skip
KINDS = ("mark", "open")
FONT = "text{font:12px system-ui,sans-serif}.title{font-size:14px;font-weight:600}"
INK = "text{fill:#222}.soft{fill:#555}.grid{stroke:#ddd}.paper{fill:#fff}.curve .open{fill:#fff}"
DARK = "text{fill:#ddd}.soft{fill:#aaa}.grid{stroke:#444}.paper{fill:#161616}.curve .open{fill:#161616}"


@dataclass(frozen=True)
class CurvePoint:
    """Accuracy in percent at a number of shots, and the ends of its interval."""

    shots: int
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Panel:
    """The curves of one data set: the points of each method, in the order of shots."""

    title: str
    curves: Mapping[str, Sequence[CurvePoint]]


def draw(panels: Sequence[Panel], order: Sequence[str], caption: str) -> str:
    """The SVG text. `order` are the names of methods, whose place in it gives each its style; `caption` stands below."""
    names = dict.fromkeys([*order, *(name for panel in panels for name in panel.curves)])
    style = {name: place for place, name in enumerate(names)}
    used = sorted({style[name] for panel in panels for name in panel.curves})
    longest = max((len(name) for panel in panels for name in panel.curves), default=0)
    across = min(ACROSS, max(1, len(panels)))
    width = LEFT + PLOT + GAP + KEY + math.ceil(LETTER * longest) + 12
    height = max(HEIGHT, TOP + BOTTOM + LINE * max((len(panel.curves) for panel in panels), default=0))
    below = wrap(caption, math.floor((width * across - 24) / LETTER)) or [""]
    total = width * across, height * math.ceil(len(panels) / across) + 12 + LINE * len(below)
    parts = [f'<rect class="paper" width="{total[0]}" height="{total[1]}"/>']
    for place, panel in enumerate(panels):
        parts += [
            f'<g transform="translate({width * (place % across)} {height * (place // across)})">',
            *_panel(panel, style, height),
            "</g>",
        ]
    parts += [
        f'<text class="soft" x="12" y="{total[1] - 12 - LINE * place}">{escape(line)}</text>' for place, line in enumerate(reversed(below))
    ]
    about = escape(f"Accuracy against shots: {', '.join(panel.title for panel in panels)}", quote=True)
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total[0]} {total[1]}" width="{total[0]}" height="{total[1]}" role="img" '
        f'aria-label="{about}">\n<style>{_sheet(used)}</style>\n{body}\n</svg>\n'
    )


def _sheet(used: Sequence[int]) -> str:
    """The styles in light and dark, of the methods shown alone. Without variables, which few readers of SVG but browsers know."""
    inks = [{one: COLOURS[one % len(COLOURS)][shade] for one in used} for shade in (0, 1)]
    light, dark = ("".join(f".m{one} *{{stroke:{ink}}}.m{one} .mark{{fill:{ink}}}" for one, ink in found.items()) for found in inks)
    shared = ".curve *{fill:none;stroke-width:1.8}.curve .bar{stroke-opacity:.55}.curve .lead{stroke-width:.7}"
    return f"{FONT}{INK}{shared}{light}@media(prefers-color-scheme:dark){{{DARK}{dark}}}"


def _panel(panel: Panel, style: Mapping[str, int], height: int) -> Iterator[str]:
    floor = height - BOTTOM
    points = [point for found in panel.curves.values() for point in found]
    ends = [end for point in points for end in (point.low, point.value, point.high) if math.isfinite(end)]
    # A range of no width would be all digits; accuracy ends at 0 and at 100.
    bottom, top, step = scale([min(ends, default=0.0) - LEAST / 2], [max(ends, default=0.0) + LEAST / 2])
    bottom, top = max(bottom, 0.0), min(top, step * math.ceil(100 / step))
    shots = sorted({point.shots for point in points})

    def y(value: float) -> float:
        return TOP + (floor - TOP) * (top - min(max(value, bottom), top)) / (top - bottom)

    def x(count: int) -> float:
        first, last = math.log2(shots[0]), math.log2(shots[-1])
        return LEFT + PLOT * (0.5 if first == last else 0.05 + 0.9 * (math.log2(count) - first) / (last - first))

    yield f'<text class="title" x="{LEFT}" y="24">{escape(panel.title)}</text>'
    for tick in range(round((top - bottom) / step) + 1):
        level = bottom + tick * step
        yield f'<line class="grid" x1="{LEFT}" x2="{LEFT + PLOT}" y1="{y(level):.1f}" y2="{y(level):.1f}"/>'
        yield f'<text x="{LEFT - 8}" y="{y(level) + 4:.1f}" text-anchor="end">{level:g}</text>'
    yield from _ticks({count: x(count) for count in shots}, floor + 20)
    yield f'<text class="soft" x="{LEFT + PLOT / 2}" y="{height - 8}" text-anchor="middle">shots: labelled images a class</text>'
    middle = (TOP + floor) / 2
    yield f'<text class="soft" transform="translate(16 {middle}) rotate(-90)" text-anchor="middle">accuracy on test, %</text>'
    lasts = {name: y(found[-1].value) for name, found in panel.curves.items() if found}
    labels = apart(lasts, TOP, floor)
    for place, (name, found) in enumerate(panel.curves.items()):
        # Side by side, so that intervals at one number of shots do not cover each other.
        shift = (place - (len(panel.curves) - 1) / 2) * min(4.0, 30.0 / len(panel.curves))
        at = [(x(point.shots) + shift, y(point.value), point) for point in found]
        if at:
            yield from _curve(name, style[name], [(left, y(one.low), up, y(one.high), one) for left, up, one in at], labels[name])


def _ticks(places: Mapping[int, float], up: float) -> Iterator[str]:
    """The numbers of shots below the plot, without those that the one before would touch."""
    taken = -math.inf
    for count, left in places.items():
        half = 4 * len(str(count)) + 3
        if left - half >= taken:
            taken = left + half
            yield f'<text x="{left:.1f}" y="{up}" text-anchor="middle">{count}</text>'


def _curve(name: str, style: int, points: Sequence[tuple[float, float, float, float, CurvePoint]], label: float) -> Iterator[str]:
    """A method's line, intervals and marks, and at its end its name beside them."""
    dash = f' stroke-dasharray="{DASHES[style // len(COLOURS) % len(DASHES)]}"' if style // len(COLOURS) % len(DASHES) else ""
    mark, kind, word = MARKS[style % len(MARKS)], KINDS[style // len(MARKS) % len(KINDS)], escape(name)
    end, middle = points[-1][0], LEFT + PLOT + GAP
    yield f'<g class="curve m{style}">'
    yield f'<polyline{dash} points="{" ".join(f"{left:.1f},{up:.1f}" for left, _, up, _, _ in points)}"/>'
    for left, low, up, high, point in points:
        if math.isfinite(point.low) and math.isfinite(point.high):
            yield f'<line class="bar" x1="{left:.1f}" x2="{left:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>'
        about = f"{word}, {point.shots} shots: {point.value:.2f} [{point.low:.2f}, {point.high:.2f}]"
        yield f'<path class="{kind}" transform="translate({left:.1f} {up:.1f})" d="{mark}"><title>{about}</title></path>'
    yield f'<path class="lead" d="M{end + 6:.1f} {points[-1][2]:.1f}L{middle - 4} {label:.1f}"/>'
    yield f'<line{dash} x1="{middle}" x2="{middle + KEY - 6}" y1="{label:.1f}" y2="{label:.1f}"/>'
    yield f'<path class="{kind}" transform="translate({middle + (KEY - 6) / 2} {label:.1f})" d="{mark}"/></g>'
    yield f'<text x="{middle + KEY}" y="{label + 4:.1f}">{word}</text>'


def apart(wanted: Mapping[str, float], top: float, bottom: float) -> dict[str, float]:
    """Places near those wanted, at least a line apart and, as far as they fit, between top and bottom."""
    names = sorted(wanted, key=lambda name: wanted[name])
    places: list[float] = []
    for name in names:
        places.append(max(wanted[name], places[-1] + LINE if places else top))
    # What went beyond the bottom moves up, and what is above it makes way.
    limit = max(bottom, top + LINE * (len(names) - 1))
    for place in reversed(range(len(places))):
        places[place] = min(places[place], limit)
        limit = places[place] - LINE
    return dict(zip(names, places, strict=True))
