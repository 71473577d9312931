"""The folder that the examples of the docs and docstrings are run in: photographs of pets, some new ones, and an xmap.toml for speed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"cat": (200, 40, 40), "dog": (40, 200, 40), "rabbit": (40, 40, 200)}
SETTINGS = """
[encoder]
model = "xmap-tiny"
[extract]
views = 0
[run]
methods = ["zero-shot", "tip-adapter"]
seeds = [1]
workers = 0
"""


def write_pets(folder: Path) -> Path:
    """`folder` with pets/, holiday/, photo.jpg and xmap.toml."""
    draw = np.random.default_rng(1)

    def photo(path: Path, name: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((np.asarray(COLOURS[name]) + draw.integers(-40, 40, (32, 32, 3))).astype(np.uint8)).save(path)

    for split, count in (("train", 16), ("val", 4), ("test", 4)):
        for name in COLOURS:
            for number in range(count):
                photo(folder / "pets" / split / name / f"{number}.png", name)
    photo(folder / "photo.jpg", "cat")
    for number, name in enumerate(("dog", "rabbit")):
        photo(folder / "holiday" / f"{number}.png", name)
    (folder / "xmap.toml").write_text(SETTINGS)
    return folder
