"""Small inputs for whole runs: features in Tip-Adapter's layout, and a folder of real image files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import normalize, one_hot

CLASSES = ("ant", "bee", "cat")
COLOURS = {"ant": (200, 40, 40), "bee": (40, 200, 40), "cat": (40, 40, 200)}


def write_layout(folder: Path, shots: Sequence[int] = (1, 2), width: int = 8, per_class: int = 4) -> Path:
    """Features of three separable classes as Tip-Adapter caches them."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = torch.Generator().manual_seed(1)
    centres = torch.randn(len(CLASSES), width, generator=draw)

    def near(labels: torch.Tensor) -> torch.Tensor:
        return normalize(centres[labels] + 0.7 * torch.randn(len(labels), width, generator=draw), dim=-1).half()

    for count in shots:
        labels = torch.arange(len(CLASSES)).repeat_interleave(count)
        torch.save(near(labels).T.contiguous(), folder / f"keys_{count}shots.pt")
        torch.save(one_hot(labels, len(CLASSES)).half(), folder / f"values_{count}shots.pt")
    for split in ("val", "test"):
        labels = torch.arange(len(CLASSES)).repeat(per_class)
        torch.save(near(labels), folder / f"{split}_f.pt")
        torch.save(labels, folder / f"{split}_l.pt")
    torch.save(normalize(centres + 0.5, dim=-1).T.half().contiguous(), folder / "text_weights.pt")
    (folder / "classnames.json").write_text(json.dumps(CLASSES))
    return folder


def write_photos(folder: Path, train: int = 4, val: int = 2, test: int = 3) -> Path:
    """Noisy coloured PNG images of three classes, in train, val and test folders."""
    draw = np.random.default_rng(1)
    for split, count in (("train", train), ("val", val), ("test", test)):
        for name, colour in COLOURS.items():
            (folder / split / name).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                pixels = np.asarray(colour) + draw.integers(-40, 40, (32, 32, 3))
                Image.fromarray(pixels.astype(np.uint8)).save(folder / split / name / f"{number}.png")
    return folder


def repaint(path: Path) -> None:
    """Change one image file."""
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
