"""JPEG files as large as photographs, where there are none."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from xmap.stages.images.views import Pixels

SIZE = 256


def write_photographs(folder: Path, images: int) -> None:
    """JPEG files of smooth noise, in two classes of each split."""
    draw = np.random.default_rng(1)

    def write(number: int, grain: Pixels) -> None:
        path = folder / ("train", "val", "test")[number % 3] / f"class{number % 2}" / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grain).resize((SIZE, SIZE), Image.Resampling.BICUBIC).save(path, quality=90)

    with ThreadPoolExecutor() as pool:
        grains = (draw.integers(0, 256, (16, 16, 3), dtype=np.uint8) for _ in range(images))
        list(pool.map(write, range(images), grains))
