"""Encoders in fp32 and bf16: the bare forward pass, extraction beside it, and what the shorter format does to accuracy.

python -m benchmarks.precision            rewrites its section of docs/benchmarks.md
python -m benchmarks.precision PART ...   prints the parts named: rates, accuracy
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.corrections import accuracies
from benchmarks.extraction import PHOTOS, bare, copies_of, extraction, open_model, write_model
from benchmarks.page import measure_parts
from benchmarks.process import measure
from xmap.stages.datasets.digits import write_digits
from xmap.stages.encoder.precision import fastest
from xmap.stages.names import IMAGES
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.formats.features import read_images

ENCODERS, FORMATS = ("ViT-B-32", "RN50"), ("fp32", "bf16")
# Times that the passes and the extraction take turns.
TURNS = 2
METHODS = "zero-shot,tip-adapter,tip-adapter-f,xmadapter"


def rates(folder: Path) -> list[str]:
    """Images a second of the forward pass in each format, and of `xmap extract` beside it in turn."""
    paths = copies_of(PHOTOS, folder / "photos")
    lines = [
        f"{len(paths):,} photographs, random weights, {torch.get_num_threads()} threads, {fastest('cpu').why}; each the most of "
        f"{TURNS} turns.",
        "",
        "| model at | bare forward images/s | beside fp32 | autocast | xmap extract | extract / bare | least cosine with fp32 |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in ENCODERS:
        model, full, plain = write_model(name, folder / name), 0.0, np.empty((0, 0))
        for precision in FORMATS:
            made, preprocess = open_model(model, precision)
            forward, whole = [], []
            for turn in range(TURNS):
                forward.append(bare(made, preprocess, len(paths) // 4, precision))
                store = folder / f"{name}-{precision}-{turn}"
                whole.append(extraction(folder / "photos", model, store, {"encoder.precision": precision}))
                forward.append(bare(made, preprocess, len(paths) // 4, precision))
            found = features(Store(store))
            full, plain = (full, plain) if full else (max(forward), found)
            cosine = float(np.min((found * plain).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(plain, axis=1)))
            cells = [f"{max(forward):.1f}", f"{max(forward) / full:.2f}", autocast(made, preprocess, len(paths) // 4, full, precision)]
            cells += [f"{max(whole):.1f}", f"{max(whole) / max(forward):.2f}", f"{cosine:.5f}"]
            lines.append(f"| {' | '.join([f'{name} {precision}', *cells])} |")
    return lines


def autocast(model: Any, preprocess: Any, images: int, full: float, precision: str) -> str:
    """Autocast of the float32 model beside float32, where that is what is measured."""
    if precision != "fp32":
        return ""
    with torch.autocast("cpu", torch.bfloat16):
        return f"{bare(model, preprocess, images) / full:.2f}"


def features(store: Store) -> np.ndarray:
    """All features of the newest extraction, in the order of its files."""
    found: Artifact = store.artifacts(IMAGES)[-1]
    return np.concatenate([read_images([path]).features for path in sorted(found.path.glob("*.parquet")) if path.stem != "errors"])


def accuracy(folder: Path) -> list[str]:
    """Validation accuracy with features of both formats."""
    write_digits(folder / "digits")
    lines = [
        "| xmap-tiny on | method | fp32 | bf16 | points |",
        "|---|---|---:|---:|---:|",
    ]
    for name, data in {"the digits": folder / "digits", "the photographs": PHOTOS}.items():
        found: dict[str, Mapping[str, float]] = {}
        for precision in FORMATS:
            store = folder / f"{data.name}-{precision}"
            words = ["run", "--data", str(data), "--model", "xmap-tiny", "--precision", precision, "--views", "0", "--shots", "8"]
            measure([*words, "--methods", METHODS, "--quiet", "--store", str(store)])
            found[precision] = accuracies(Store(store))
        for method, full in found["fp32"].items():
            short = found["bf16"][method]
            lines.append(f"| {name} | {method} | {full:.2f} | {short:.2f} | {short - full:+.2f} |")
    return [*lines, "", "Percent of all validation images, at 8 shots, mean over three seeds; at most 4 a class of them chose settings."]


PARTS: Mapping[str, Callable[[Path], list[str]]] = {"rates": rates, "accuracy": accuracy}


def main(named: list[str]) -> None:
    """Measure the parts named, or all and write the section."""
    if not PHOTOS.is_dir():
        raise SystemExit(f"there are no photographs in {PHOTOS}.")
    logging.disable(logging.WARNING)
    measure_parts(PARTS, named, "Precision", "python -m benchmarks.precision")


if __name__ == "__main__":
    main(sys.argv[1:])
