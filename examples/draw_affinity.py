"""Draw a run's affinity log: each test sample by its affinity to its true class in the text cache and in the image cache.

    python examples/draw_affinity.py demo/.xmap affinity.svg

A circle is a right prediction, a cross a wrong one. Samples that both caches know lie at the upper right, samples that neither
knows at the lower left, and those on which the caches disagree in the other two corners. The picture is plain SVG.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import xmap
from xmap.store.disk.output import Output

QUERY = """
select affinity_text as x, affinity_image as y, correct, sample_id, class_name, predicted_name
from affinity where method = 'xmadapter' and split = 'test' and seed = 1 order by correct desc, sample_id
"""
SIZE, LEFT, TOP, SIDE = (560, 500), 70, 56, 380
RIGHT_COLOUR, WRONG_COLOUR = "#1b7f8c", "#c8401f"

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the affinity log of an XMAdapter run.")
    parser.add_argument("store", help="the store, such as demo/.xmap")
    parser.add_argument("picture", help="the SVG file to write")
    given = parser.parse_args()
    picture = Output(given.picture, "another name")
    with xmap.connect(given.store) as connection:
        rows = connection.query(QUERY).to_pylist()
    picture.write("".join(f"{line}\n" for line in drawing(rows)).encode())


def drawing(rows: list[Row]) -> Iterator[str]:
    """The lines of the SVG file."""
    wide = max(float(row["x"]) for row in rows) * 1.05
    tall = max(float(row["y"]) for row in rows) * 1.05
    wrong = sum(not row["correct"] for row in rows)
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE[0]} {SIZE[1]}" font-family="sans-serif" font-size="12" fill="#222">'
    yield f'<rect width="{SIZE[0]}" height="{SIZE[1]}" fill="white"/>'
    yield f'<text x="{LEFT}" y="24" font-size="15">Affinity to the true class, {len(rows)} test images, XMAdapter, seed 1</text>'
    yield circle(LEFT + 6, 40) + f'<text x="{LEFT + 16}" y="44">right ({len(rows) - wrong})</text>'
    yield cross(LEFT + 116, 40) + f'<text x="{LEFT + 126}" y="44">wrong ({wrong})</text>'
    yield from axes(wide, tall)
    for row in rows:
        x = LEFT + SIDE * float(row["x"]) / wide
        y = TOP + SIDE * (1 - float(row["y"]) / tall)
        title = f"{row['sample_id']}: {row['class_name']} seen as {row['predicted_name']}"
        yield f"<g><title>{title}</title>{circle(x, y) if row['correct'] else cross(x, y)}</g>"
    yield "</svg>"


def axes(wide: float, tall: float) -> Iterator[str]:
    """The frame, ticks at quarters, and the names of the axes."""
    bottom = TOP + SIDE
    yield f'<rect x="{LEFT}" y="{TOP}" width="{SIDE}" height="{SIDE}" fill="none" stroke="#999"/>'
    for quarter in range(5):
        step = SIDE * quarter / 4
        yield f'<text x="{LEFT + step:.0f}" y="{bottom + 18}" text-anchor="middle">{wide * quarter / 4:.2f}</text>'
        yield f'<text x="{LEFT - 8}" y="{bottom - step + 4:.0f}" text-anchor="end">{tall * quarter / 4:.2f}</text>'
    yield f'<text x="{LEFT + SIDE / 2:.0f}" y="{bottom + 40}" text-anchor="middle">text affinity</text>'
    middle = TOP + SIDE / 2
    yield f'<text x="20" y="{middle:.0f}" text-anchor="middle" transform="rotate(-90 20 {middle:.0f})">image affinity</text>'


def circle(x: float, y: float) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="none" stroke="{RIGHT_COLOUR}" stroke-opacity="0.7"/>'


def cross(x: float, y: float) -> str:
    path = f"M{x - 3:.1f} {y - 3:.1f}l6 6m0 -6l-6 6"
    return f'<path d="{path}" stroke="{WRONG_COLOUR}" stroke-width="1.6"/>'


if __name__ == "__main__":
    main()
