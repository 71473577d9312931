"""Many small images, where what a run costs besides a large model is measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def write_small_images(folder: Path, count: int) -> None:
    """JPEGs of 48 x 48 random pixels in ten class folders below `folder`."""
    draw = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"class{number % 10}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (48, 48, 3), np.uint8)).save(path)
