"""Smooth random pictures, and folders of real image files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int, size: tuple[int, int] = (40, 36)) -> Image.Image:
    """A smooth random picture: compresses like a photograph and differs from every other seed's."""
    draw = np.random.default_rng(seed)
    small = Image.fromarray(draw.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC)


def write_images(root: Path, names: list[str], start: int = 0) -> Path:
    """Real image files at the given relative paths, in the format of their suffix."""
    for number, name in enumerate(names, start):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(number, (33 + number % 17, 45 - number % 11)).save(path)
    return root
