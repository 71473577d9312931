"""The cost model of docs/scale.md: constants measured at small sizes, checked at larger ones, carried to a billion images.

python -m benchmarks.scale        rewrites the tables of docs/scale.md
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.page import PAGE, machine, replace_between
from benchmarks.process import measure
from benchmarks.small_images import write_small_images
from xmap.stages.build_cache.index_choice import choose_index
from xmap.store.formats.features import ImageFeatures, read_images, write_images
from xmap.store.formats.index import LEAST_SAMPLE, SAMPLE_PER_LIST, VectorIndex

SCALE = PAGE.with_name("scale.md")
WIDTH, SHARD, CENTRES, PROBES, QUERIES = 512, 1024, 2000, 16, 500
# The first two sizes give the constants, the others check them.
IMAGES, KEYS = (500, 2_000, 1_000, 4_000, 8_000), (100_000, 400_000, 200_000, 300_000, 600_000)
BILLION, IMAGE_BYTES, MEMORY, RECALL = 10**9, 100_000, 200.0, 0.9
# Rounds of k-means, as faiss does them by default.
ROUNDS = 10
MACHINES, GPUS, GPU_RATES = (1, 100, 1000), (8, 64), (1_000, 3_000)


def factory(keys: int) -> str:
    return choose_index(keys, WIDTH, MEMORY, RECALL).factory


def lists(keys: int) -> int:
    """The inverted lists of the index for so many keys."""
    return int("".join(letter for letter in factory(keys).split(",")[0] if letter.isdigit()))


def sample(keys: int) -> int:
    """How many keys the lists' centres are learned from."""
    return max(LEAST_SAMPLE, SAMPLE_PER_LIST * lists(keys))


# What each cost grows with, as a function of the number of images or keys.
DRIVERS: Mapping[str, tuple[str, Callable[[int], float]]] = {
    "extract, s": ("images", float),
    "features, bytes": ("keys", float),
    "index, bytes": ("keys", float),
    "build, s": ("keys met in building", lambda keys: float(lists(keys) * (keys + ROUNDS * min(keys, sample(keys))))),
    "query, ms": ("keys met", lambda keys: lists(keys) + PROBES * keys / lists(keys)),
}


@dataclass(frozen=True)
class Line:
    """A cost of `fixed + each * driver(size)`."""

    name: str
    fixed: float
    each: float

    def at(self, size: int) -> float:
        return self.fixed + self.each * DRIVERS[self.name][1](size)

    @classmethod
    def through(cls, name: str, costs: Mapping[int, Mapping[str, float]], sizes: Sequence[int]) -> Line:
        """Through the costs measured at the first two sizes."""
        (small, low), (large, high) = ((DRIVERS[name][1](size), costs[size][name]) for size in sizes[:2])
        each = (high - low) / (large - small)
        return cls(name, low - each * small, each)


def extraction(folder: Path, count: int) -> dict[str, float]:
    """Extract `count` small images with xmap-tiny: what a run costs besides a large model."""
    write_small_images(folder / "data", count)
    words = ["extract", "--data", str(folder / "data"), "--model", "xmap-tiny", "--views", "0", "--quiet"]
    words += ["--store", str(folder / "store")]
    return {"extract, s": measure(words).seconds}


def index(folder: Path, count: int) -> dict[str, float]:
    """Store `count` unit features of width 512, build the index that `auto` names, search it."""
    folder.mkdir(parents=True)
    draw = np.random.default_rng(1)
    centres = draw.standard_normal((CENTRES, WIDTH), dtype=np.float32)
    for number, start in enumerate(range(0, count, 20 * SHARD)):
        size = min(20 * SHARD, count - start)
        rows = centres[draw.integers(0, CENTRES, size)] + 0.7 * draw.standard_normal((size, WIDTH), dtype=np.float32)
        ids = tuple(f"train/{start + row:09d}.jpg" for row in range(size))
        part = ImageFeatures(ids, np.zeros(size, np.int32), np.zeros(size, np.int16), rows / np.linalg.norm(rows, axis=1, keepdims=True))
        write_images(folder / f"train-{number:05d}.parquet", part, "train", "made")

    def chunks() -> Iterator[np.ndarray]:
        return (read_images([path]).features for path in sorted(folder.glob("*.parquet")))

    started = time.perf_counter()
    built = VectorIndex.build_in_chunks(chunks, count, WIDTH, factory(count))
    built.save(folder / "keys.faiss")
    seconds = time.perf_counter() - started
    built.effort = PROBES
    queries = next(chunks())[:QUERIES]
    built.search(queries, 10)
    started = time.perf_counter()
    built.search(queries, 10)
    query = 1000.0 * (time.perf_counter() - started) / QUERIES
    stored = sum(path.stat().st_size for path in folder.glob("*.parquet"))
    return {"features, bytes": stored, "index, bytes": (folder / "keys.faiss").stat().st_size, "build, s": seconds, "query, ms": query}


def forward_seconds() -> float:
    """Seconds an image of ViT-B-32's bare forward pass on this machine."""
    import open_clip
    import torch

    model, batch = open_clip.create_model("ViT-B-32").eval(), torch.randn(64, 3, 224, 224)
    with torch.inference_mode():
        model.encode_image(batch)
        started = time.perf_counter()
        for _ in range(3):
            model.encode_image(batch)
    return (time.perf_counter() - started) / (3 * len(batch))


def checks(found: Mapping[int, Mapping[str, float]], sizes: Sequence[int], lines: Mapping[str, Line]) -> Iterator[str]:
    """Predicted beside measured at the sizes that gave no constants."""
    for size in sizes[2:]:
        for name, line in lines.items():
            predicted, seen = line.at(size), found[size][name]
            yield f"| {name} | {size:,} | {predicted:,.4g} | {seen:,.4g} | {seen / predicted:.2f} |"


def listed_bytes(store: Path) -> float:
    """Bytes of a manifest for each shard that it lists."""
    (manifest,) = (store / "images").glob("*/manifest.json")
    files = json.loads(manifest.read_bytes())["files"]
    return len(json.dumps(files, indent=1)) / len(files)


def carried(lines: Mapping[str, Line], forward: float, listed: float) -> list[str]:
    """The model at a billion images."""
    images = lines["extract, s"].each + forward
    days = BILLION * images / 86_400
    manifest = BILLION // SHARD * listed / 1e6
    found = {
        "images, read twice: hashed, then decoded": f"{2 * BILLION * IMAGE_BYTES / 1e12:,.0f} TB at {IMAGE_BYTES / 1000:.0f} kB an image",
        **{f"ViT-B-32 on {count:,} machines of this kind": f"{days / count:,.1f} days" for count in MACHINES},
        **{
            f"{count} GPUs at an assumed {rate:,} images/s each": f"{BILLION / rate / count / 3600:,.1f} hours"
            for rate in GPU_RATES
            for count in GPUS
        },
        "feature files, float32": f"{BILLION * lines['features, bytes'].each / 1e12:,.2f} TB in {BILLION // SHARD:,} shards",
        "their manifest": f"{manifest:,.0f} MB; {manifest / 16:,.0f} MB with --shard-batches 256",
        f"index {factory(BILLION)}, at most {MEMORY:.0f} GB": f"{lines['build, s'].at(BILLION) / 86_400:,.1f} days to build on one machine",
        f"a query of {PROBES} lists of it": f"{lines['query, ms'].at(BILLION):,.1f} ms",
    }
    return ["| what | a billion images |", "|---|---|", *(f"| {what} | {cost} |" for what, cost in found.items())]


def main() -> None:
    """Measure, print and write the tables."""
    parts: dict[str, tuple[tuple[int, ...], Callable[[Path, int], dict[str, float]]]] = {
        "images": (IMAGES, extraction),
        "keys": (KEYS, index),
    }
    lines: dict[str, Line] = {}
    table = []
    with tempfile.TemporaryDirectory() as name:
        # The first use of faiss and torch loads them.
        index(Path(name) / "warm", KEYS[0] // 2)
        for what, (sizes, work) in parts.items():
            found = {size: work(Path(name) / f"{what}-{size}", size) for size in sizes}
            fitted = {name: Line.through(name, found, sizes) for name in found[sizes[0]]}
            table += checks(found, sizes, fitted)
            lines |= fitted
        listed = listed_bytes(Path(name) / f"images-{IMAGES[-1]}" / "store")
    forward = forward_seconds()
    constants = [f"| {name} | {line.fixed:,.3g} | {line.each:.3g} | {DRIVERS[name][0]} |" for name, line in lines.items()]
    constants.append(f"| ViT-B-32's forward pass, s |  | {forward:.3g} | images |")
    replace_between(
        SCALE,
        "python -m benchmarks.scale",
        {
            "constants": [f"{machine()}.", "", "| cost | fixed | each | of |", "|---|---|---|---|", *constants],
            "checks": ["| cost | images or keys | predicted | measured | measured / predicted |", "|---|---|---|---|---|", *table],
            "billion": carried(lines, forward, listed),
        },
    )


if __name__ == "__main__":
    main()
