"""A million synthetic samples through build-cache, train, eval and SQL: time and peak memory of each command's process.

python -m benchmarks.load [SAMPLES] [keys]      rewrites its section of docs/benchmarks.md; exits with 1 above 4 GB

With `keys` nearly all samples are training samples and all of these become keys of a cache, of which a query meets the nearest 100.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from benchmarks.page import write_section
from benchmarks.process import measure
from xmap.stages.names import part_of
from xmap.store.artifacts.artifact import Draft, Store
from xmap.store.artifacts.identity import Identity
from xmap.store.formats.features import ImageFeatures, TextFeatures, write_images, write_texts

SAMPLES = 1_000_000
CLASSES, WIDTH, SHARD = 1000, 512, 1024
# Shares of the samples: as many test images as training images is the hardest case for evaluation, which reads them all.
SHARES = {"train": 0.48, "val": 0.04, "test": 0.48}
KEY_SHARES = {"train": 1.0, "val": 0.002, "test": 0.02}
# Noise that is six times as long as the class's direction: neither solved nor hopeless.
NOISE = 6 * WIDTH**-0.5
# Less noise, so that keys lie in heaps which the lists of an index can follow.
KEY_NOISE = 2 * WIDTH**-0.5
LIMIT = 4.0
SETTINGS = ["--shots", "4", "--seeds", "1", "--methods", "zero-shot,tip-adapter"]
KEY_SETTINGS = ["--index", "auto", "--top-k", "100", "--seeds", "1", "--methods", "tip-adapter", "--shots"]
SPLITS = "select split, count(*) from samples group by 1"
WORST = "select class_name, avg(cast(correct as int)) as accuracy from affinity where split = 'test' group by 1 order by 2 limit 5"
SIMILAR = "select max(list_cosine_similarity(feature, feature)) from features"
QUERIES = (SPLITS, WORST, SIMILAR)


def write_features(store: Store, samples: int, shares: Mapping[str, float] = SHARES, noise: float = NOISE) -> int:
    """An images and a texts artifact as `xmap extract` leaves them, of random features around random class centres; bytes."""
    draw = np.random.default_rng(1)
    centres = draw.normal(size=(CLASSES, WIDTH)).astype(np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    names = [f"class {label:04d}" for label in range(CLASSES)]
    counts = {split: int(samples * share) for split, share in shares.items()}
    facts = {"dataset": "load", "classes": names, "logit_scale": 100.0, "width": WIDTH}
    with store.build(Identity("images", "load", {"samples": samples})) as images:
        assert isinstance(images, Draft)  # noqa: S101  (a fresh store)
        for split, count in counts.items():
            for number, rows in enumerate(shards(split, count, centres, draw, noise)):
                write_images(images.path / f"{split}-{number:05d}.parquet", rows, split, images.identity.fingerprint)
        parts = {split: part_of({"split": split, "samples": str(samples)}) for split in counts}
        made = images.commit({**facts, "counts": counts, "parts": parts, "errors": 0, "views": 1})
    with store.build(Identity("texts", "load", {"classes": CLASSES})) as texts:
        assert isinstance(texts, Draft)  # noqa: S101  (a fresh store)
        prompts = TextFeatures(np.arange(CLASSES, dtype=np.int32), tuple(names), ("a photo of a {}.",) * CLASSES, centres)
        write_texts(texts.path / "texts.parquet", prompts, texts.identity.fingerprint)
        texts.commit({**facts, "templates": ["a photo of a {}."]})
    return sum(entry["size"] for entry in made.manifest["files"])


def shards(split: str, count: int, centres: np.ndarray, draw: np.random.Generator, noise: float) -> Iterator[ImageFeatures]:
    """`count` samples of one split, a shard at a time."""
    for start in range(0, count, SHARD):
        size = min(SHARD, count - start)
        labels = ((start + np.arange(size)) % CLASSES).astype(np.int32)
        away = noise * draw.standard_normal((size, WIDTH), dtype=np.float32)
        ids = tuple(f"{split}/{number:07d}.jpg" for number in range(start, start + size))
        yield ImageFeatures(ids, labels, np.zeros(size, np.int16), 10 * (centres[labels] + away))


def main() -> None:
    """Measure, print and write the table."""
    keys = sys.argv[-1] == "keys"
    samples = int(sys.argv[1]) if len(sys.argv) > 1 + keys else SAMPLES
    settings = [*KEY_SETTINGS, str(samples // CLASSES)] if keys else SETTINGS
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store")
        started = time.perf_counter()
        size = write_features(store, samples, KEY_SHARES, KEY_NOISE) if keys else write_features(store, samples)
        print(f"{size / 1e9:.2f} GB of features written in {time.perf_counter() - started:.0f} s", flush=True)
        where = ["--store", str(store.root)]
        stages = ("build-cache", "train", "eval", "run")
        costs = {f"xmap {command}": measure([command, "--features", "load", *settings, "--quiet", *where]) for command in stages}
        if not keys:
            costs.update({f'xmap sql "{query}"': measure(["sql", query, *where]) for query in QUERIES})
            costs["xmap verify"] = measure(["verify", *where])
    what = f"{samples:,} {'keys' if keys else 'samples'}, {CLASSES:,} classes, float32 features of width {WIDTH} ({size / 1e9:.1f} GB)"
    table = [f"{what}, `{' '.join(settings)}`.", "", "| process | wall s | peak GB |", "|---|---|---|"]
    table += [f"| `{name}` | {cost.seconds:.1f} | {cost.peak / 1e9:.2f} |" for name, cost in costs.items()]
    highest = max(cost.peak / 1e9 for cost in costs.values())
    table += ["", f"Highest: {highest:.2f} GB; the limit is {LIMIT:.0f} GB."]
    kind = "keys through the commands" if keys else "samples"
    write_section(f"Load: {samples:,} {kind}", f"python -m benchmarks.load {samples}{' keys' if keys else ''}", table)
    if highest > LIMIT:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
