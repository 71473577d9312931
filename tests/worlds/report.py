"""A store with two runs on images whose class and file names try to be markup, and their report."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from tests.worlds.commands import call

CLASSES = ("<script>alert(1)</script>", 'a "quoted" class', "bee & <b>wasp</b>")
NAMES = ('it\'s "{}" <img src=x onerror=alert(2)>.png', "plain {}.png")
COLOURS = ((200, 40, 40), (40, 200, 40), (40, 40, 200))
PER_SPLIT = {"train": 4, "val": 2, "test": 8}
RUN = ("--model", "xmap-tiny", "--views", "0", "--batch-size", "8", "--workers", "0", "--seeds", "1,2", "--near", "0.997", "--quiet")
FEW = ("--methods", "zero-shot,tip-adapter,xmadapter", "--set", "methods.xmadapter.min_steps=6", "--set", "methods.xmadapter.epochs=3")


def make(folder: Path) -> Path:
    """Images, a table of them, and `folder/store` with runs of two and of one shot. Returns the store."""
    draw = np.random.default_rng(1)
    rows = []
    for split, count in PER_SPLIT.items():
        for label, colour in enumerate(COLOURS):
            for number in range(count):
                name = f"{split}-{label}-" + NAMES[number % 2].format(number)
                # Noise enough that some are taken for another class.
                pixels = np.clip(np.asarray(colour) + draw.normal(0, 120, (24, 24, 3)), 0, 255)
                Image.fromarray(pixels.astype(np.uint8)).save(folder / name)
                rows.append((name, CLASSES[label], split))
    (folder / "broken.png").write_text("no picture")
    with open(folder / "images.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("path", "label", "split"), *rows, ("broken.png", CLASSES[0], "test")])
    for shots in (1, 2):
        done = call("run", "--data", folder / "images.csv", *RUN, *FEW, "--shots", shots, "--store", folder / "store")
        assert done.exit_code == 0, done.output
    return folder / "store"
