"""A figure of one ablation as SVG: a point and its interval for each variant, the default marked. Readable in light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from xmap.stages.pages.scale import scale

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 40, 64
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#333}.title{font-size:14px;font-weight:600}.grid{stroke:#ddd}.bar{stroke:#0072b2;"
    "stroke-width:2}.point{fill:#0072b2}.default{fill:#d55e00}.level{stroke:#d55e00;stroke-dasharray:4 4}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}.grid{stroke:#444}.bar{stroke:#56b4e9}.point{fill:#56b4e9}}"
)


@dataclass(frozen=True)
class Point:
    """One variant: its name (of one line or more), its value and the ends of its interval."""

    name: str
    value: float
    low: float
    high: float
    default: bool = False


def draw(title: str, across: str, up: str, points: Sequence[Point]) -> str:
    """The SVG text. The default is a diamond with a dashed line at its level, so that colour is never needed.

    Of a point whose value is not finite the name alone is shown.
    """
    bottom, top, step = scale([min(point.low, point.value) for point in points], [max(point.high, point.value) for point in points])

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (top - min(max(value, bottom), top)) / (top - bottom)

    pitch = (WIDTH - LEFT - RIGHT) / max(1, len(points))
    parts = [f'<text class="title" x="{LEFT}" y="20">{escape(title)}</text>']
    for tick in range(round((top - bottom) / step) + 1):
        level = bottom + tick * step
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(level):.1f}" y2="{y(level):.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(level) + 4:.1f}" text-anchor="end">{level:g}</text>')
    levels = (y(point.value) for point in points if point.default and math.isfinite(point.value))
    parts += [f'<line class="level" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{level:.1f}" y2="{level:.1f}"/>' for level in levels]
    for place, point in enumerate(points):
        x = LEFT + pitch * (place + 0.5)
        if not math.isnan(point.low) and not math.isnan(point.high):
            parts.append(f'<line class="bar" x1="{x:.1f}" x2="{x:.1f}" y1="{y(point.low):.1f}" y2="{y(point.high):.1f}"/>')
        if math.isfinite(point.value):
            parts.append(_mark(x, y(point.value), point))
        for line, words in enumerate(point.name.split("\n")):
            parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18 + 14 * line}" text-anchor="middle">{escape(words)}</text>')
    middle = (HEIGHT - BOTTOM + TOP) / 2
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 14}" text-anchor="middle">{escape(across)}</text>')
    parts.append(f'<text transform="translate(16 {middle}) rotate(-90)" text-anchor="middle">{escape(up)}</text>')
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title, quote=True)}">\n'
        f"<style>{STYLE}</style>\n{body}\n</svg>\n"
    )


def _mark(x: float, y: float, point: Point) -> str:
    about = f"<title>{escape(point.name)}: {point.value:.2f} [{point.low:.2f}, {point.high:.2f}]</title>"
    if point.default:
        return f'<path class="default" d="M{x:.1f} {y - 7:.1f}l7 7l-7 7l-7 -7z">{about}</path>'
    return f'<circle class="point" cx="{x:.1f}" cy="{y:.1f}" r="5">{about}</circle>'
