"""Image trees in CoOp's layout: tiny pictures where the benchmarks would lie, and split files in CoOp's format."""

from __future__ import annotations

import json
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from xmap.stages.datasets.benchmarks.layouts import Benchmark, read_split
from xmap.stages.datasets.benchmarks.table import ENTRIES

WNIDS = ("n01440764", "n01443537", "n01484850")
PARTS = {"train": 2, "val": 1, "test": 2}


def picture(label: int, number: int) -> bytes:
    """A JPEG of 24 x 24 whose colours lean to its class."""
    draw = np.random.default_rng([label, number])
    base = np.random.default_rng(label).integers(0, 256, 3)
    pixels = np.clip(base + draw.integers(-40, 41, (24, 24, 3)), 0, 255).astype(np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=60)
    return file.getvalue()


def write(path: Path, data: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def one_picture_each(folder: Path, paths: Iterable[str]) -> None:
    """The same small picture at every path: for readers, which decode nothing."""
    data = picture(0, 0)
    for path in paths:
        write(folder / path, data)


def make_all(root: Path, classes: int = 3) -> Path:
    """All fifteen benchmarks with `classes` classes and five images of each, ImageNet's variants with two of its classes."""
    for entry in ENTRIES:
        if entry.reader is read_split:
            make_split(root, entry, classes)
    _aircraft(root / "fgvc_aircraft", classes)
    _imagenet(root, classes)
    return root


def make_split(root: Path, entry: Benchmark, classes: int) -> None:
    folder, rows = root / entry.folder, {}
    start = 0
    for split, count in PARTS.items():
        rows[split] = []
        for label in range(classes):
            for number in range(start, start + count):
                path = f"kind_{label}/{number}.jpg"
                if len(entry.images) > 1:
                    path = f"{entry.images[1 if split == 'test' else 0]}/{label}_{number}.jpg"
                base = folder if len(entry.images) > 1 else folder / entry.images[0]
                write(base / path, picture(label, number))
                rows[split].append([path, label, f"kind_{label}"])
        start += count
    write(folder / entry.files[0], json.dumps(rows))


def _aircraft(folder: Path, classes: int) -> None:
    names = [f"A{340 + label}-300" for label in range(classes)]
    write(folder / "variants.txt", "".join(f"{name}\n" for name in names))
    number = 0
    for split, count in PARTS.items():
        lines = []
        for label, name in enumerate(names):
            for _ in range(count):
                write(folder / "images" / f"{number:07d}.jpg", picture(label, number))
                lines.append(f"{number:07d} {name}\n")
                number += 1
        write(folder / f"images_variant_{split}.txt", "".join(lines))


def _imagenet(root: Path, classes: int) -> None:
    wnids = WNIDS[:classes]
    # The real file has two cranes as well.
    names = ("tench", "crane", "crane")
    write(root / "imagenet/classnames.txt", "".join(f"{wnid} {name}\n" for wnid, name in zip(wnids, names, strict=False)))
    for label, wnid in enumerate(wnids):
        for number in range(3):
            write(root / f"imagenet/images/train/{wnid}/{wnid}_{number}.JPEG", picture(label, number))
        for number in range(2):
            write(root / f"imagenet/images/val/{wnid}/val_{number}.JPEG", picture(label, 10 + number))
            write(root / f"imagenetv2/imagenetv2-matched-frequency-format-val/{label}/{number}.jpeg", picture(label, 20 + number))
            write(root / f"imagenet-sketch/images/{wnid}/sketch_{number}.JPEG", picture(label, 30 + number))
            if label:
                write(root / f"imagenet-adversarial/imagenet-a/{wnid}/{number}.jpg", picture(label, 40 + number))
                write(root / f"imagenet-rendition/imagenet-r/{wnid}/{number}.jpg", picture(label, 50 + number))
    write(root / "imagenet-adversarial/imagenet-a/README.txt", "not an image")
