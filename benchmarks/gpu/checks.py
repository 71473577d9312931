"""What is compared between the CPU and another device. Each check returns a `Check`; none knows which device is a GPU."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from torch.nn.functional import normalize

from benchmarks.process import COMMAND
from xmap.stages.fewshot.task import Segments
from xmap.stages.methods.maths.trained_keys import TrainedKeySums
from xmap.store.artifacts.artifact import Store
from xmap.store.formats.features import read_images
from xmap.store.formats.index import VectorIndex

FEATURES, POINTS, SCORES, SUMS = 1e-3, 0.5, 1e-3, 1e-3
KEYS, WIDTH, QUERIES, NEAREST = 100_000, 512, 4096, 10
SEARCHED = {"Flat": 0.999, "IVF256,Flat": 0.99}
CLASSES, SHOTS, BATCH = 1000, 16, 256
REPEATS = 20


@dataclass(frozen=True)
class Check:
    """One comparison: `error` must not exceed `tolerance`; seconds on the CPU and on the device."""

    name: str
    error: float
    tolerance: float
    cpu_seconds: float
    device_seconds: float

    @property
    def passed(self) -> bool:
        return self.error <= self.tolerance


def runs(folder: Path, device: str) -> Iterator[Check]:
    """`xmap run` from images to metrics on either device: the features, and the accuracy of every method."""
    from xmap.stages.datasets.digits import write_digits

    write_digits(folder / "digits")
    found = {place: _run(folder, name, place) for name, place in (("a", "cpu"), ("b", device))}
    (plain, accuracies, seconds), (other, others, took) = found["cpu"], found[device]
    yield Check("image features of the digits", float(np.abs(plain - other).max()), FEATURES, seconds, took)
    worst = max(abs(accuracies[method] - others[method]) for method in accuracies)
    yield Check(f"accuracy of {', '.join(accuracies)} (points)", worst, POINTS, seconds, took)


def _run(folder: Path, name: str, device: str) -> tuple[np.ndarray, dict[str, float], float]:
    """Unit features of all images, accuracy by method, and seconds of the whole process."""
    words = ["run", "--data", str(folder / "digits"), "--model", "xmap-tiny", "--views", "0", "--shots", "4", "--seeds", "1"]
    started = time.perf_counter()
    subprocess.run([*COMMAND, *words, "--device", device, "--store", str(folder / name)], check=True, capture_output=True)  # noqa: S603
    seconds = time.perf_counter() - started
    (metrics,) = (path for path in (folder / name / "eval").iterdir() if path.is_dir())
    results: list[dict[str, Any]] = json.loads((metrics / "metrics.json").read_text())["results"]
    return image_features(folder / name), {str(row["method"]): float(row["accuracy_mean"]) for row in results}, seconds


def image_features(store: Path) -> np.ndarray:
    """Unit rows of the only images artifact of a store, float32 (N, C), in the order of its tables."""
    (images,) = (path for path in (Store(store).root / "images").iterdir() if path.is_dir())
    rows = read_images(sorted(path for path in images.glob("*-*.parquet") if path.stem[-5:].isdigit())).features
    unit: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def engines(folder: Path, device: str) -> Iterator[Check]:
    """Extraction by Ray workers, two for each GPU there is, beside the local engine on one of them: the share of files that differ."""
    from xmap.stages.datasets.digits import write_digits

    write_digits(folder / "images")
    seconds: dict[str, float] = {}
    trees: list[dict[Path, bytes]] = []
    for engine in ("local", "ray"):
        words = ["extract", "--data", str(folder / "images"), "--model", "xmap-tiny", "--views", "0", "--shard-batches", "2"]
        words += ["--device", device, "--engine", engine, "--store", str(folder / engine)]
        words += ["--gpus-per-worker", "0.5"] if (engine, device) == ("ray", "cuda") else []
        started = time.perf_counter()
        subprocess.run([*COMMAND, *words], check=True, capture_output=True)  # noqa: S603  (our own command)
        seconds[engine] = time.perf_counter() - started
        trees.append({path.relative_to(folder / engine): path.read_bytes() for path in (folder / engine).rglob("*.parquet")})
    one, other = trees
    differing = [name for name in one.keys() | other.keys() if one.get(name) != other.get(name)]
    yield Check("share of files that differ between Ray and the local engine", len(differing) / len(one), 0.0, *seconds.values())


def orders(folder: Path, device: str, model: str, images: int) -> Iterator[Check]:
    """The same images in two orders, so in other batches, in two stores: the share of rows whose bits differ."""
    from benchmarks.extraction import extraction, write_model
    from benchmarks.photographs import write_photographs

    write_photographs(folder / "one", images)
    for path in (folder / "one").rglob("*.jpg"):
        other = folder / "other" / path.relative_to(folder / "one").with_name(f"{images - int(path.stem):05d}.jpg")
        other.parent.mkdir(parents=True, exist_ok=True)
        other.write_bytes(path.read_bytes())
    name = write_model(model, folder / "model")
    seconds, rows = [], []
    for place in ("one", "other"):
        started = time.perf_counter()
        extraction(folder / place, name, folder / f"{place}-store", {"run.device": device})
        seconds.append(time.perf_counter() - started)
        rows.append(_by_content(folder / f"{place}-store"))
    one, other_rows = rows
    differing = sum(one[content] != other_rows.get(content) for content in one)
    yield Check(f"{model}: share of rows that depend on the batch (GPU alone, both orders)", differing / len(one), 0.0, *seconds)


def _by_content(store: Path) -> dict[bytes, bytes]:
    """The bits of each stored row by its image's hash."""
    found: dict[bytes, bytes] = {}
    for pack in (store / "features").rglob("*.parquet"):
        table = pq.read_table(pack)
        for content, feature in zip(table["content"].to_pylist(), table["feature"].to_pylist(), strict=True):
            found[content] = np.asarray(feature).tobytes()
    return found


def searches(onto: Callable[[VectorIndex], VectorIndex]) -> Iterator[Check]:
    """Nearest keys on the CPU and by the same index moved `onto` another place."""
    draw = torch.Generator().manual_seed(1)
    keys = normalize(torch.randn(KEYS, WIDTH, generator=draw), dim=-1).numpy()
    queries = normalize(torch.randn(QUERIES, WIDTH, generator=draw), dim=-1).numpy()
    for factory, alike in SEARCHED.items():
        index = VectorIndex.build(keys, factory)
        index.effort = 16
        moved = onto(index)
        seconds, plain = timed(lambda index=index: index.search(queries, NEAREST), 1)
        took, other = timed(lambda moved=moved: moved.search(queries, NEAREST), 3)
        same = float(np.mean([len(np.intersect1d(*pair)) for pair in zip(plain.rows, other.rows, strict=True)])) / NEAREST
        yield Check(f"{factory}: neighbours that differ", 1.0 - same, 1.0 - alike, seconds, took)
        yield Check(f"{factory}: scores", float(np.abs(plain.scores - other.scores).max()), SCORES, seconds, took)


def training(device: str) -> Iterator[Check]:
    """One step of the image branch with trained keys: class sums and the keys' gradient, relative to their largest value."""
    found = {place: _step(place) for place in {"cpu", device}}
    (seconds, plain), (took, other) = found["cpu"], found[device]
    for name, ours, theirs in zip(("class sums", "gradient of the keys"), plain, other, strict=True):
        yield Check(name, float((ours - theirs).abs().max() / ours.abs().max()), SUMS, seconds, took)


def _step(device: str) -> tuple[float, tuple[torch.Tensor, torch.Tensor]]:
    step = training_step(device)
    return timed(lambda: [part.cpu() for part in step()], REPEATS if device != "cpu" else 3)


def training_step(device: str) -> Callable[[], tuple[torch.Tensor, torch.Tensor]]:
    """A step of the image branch at random keys: the class sums (B, K) and the gradient of the keys (M, C), on the device."""
    draw = torch.Generator().manual_seed(1)
    features = normalize(torch.randn(BATCH, WIDTH, generator=draw), dim=-1).to(device)
    keys = normalize(torch.randn(CLASSES * SHOTS, WIDTH, generator=draw), dim=-1).to(device).requires_grad_()
    upstream = torch.randn(BATCH, CLASSES, generator=draw).to(device)
    labels = torch.arange(CLASSES).repeat_interleave(SHOTS).to(device)
    sums_of = TrainedKeySums(Segments.of(labels, CLASSES, SHOTS), 2.0, unit=True)

    def step() -> tuple[torch.Tensor, torch.Tensor]:
        sums = sums_of(features, keys)
        (gradient,) = torch.autograd.grad((sums * upstream).sum(), keys)
        return sums.detach(), gradient

    return step


def timed(work: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """The least seconds of `repeats` calls after one that is not counted, and the answer. Work ends on the CPU, so it is waited for."""
    found = work()
    least = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        found = work()
        least = min(least, time.perf_counter() - started)
    return least, found
