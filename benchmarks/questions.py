"""The ready questions of `xmap sql --list` on a made affinity log of 10 million rows: ImageNet's size, six methods, three seeds.

python -m benchmarks.questions        rewrites its section of docs/benchmarks.md
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.page import write_section
from xmap.store.artifacts.artifact import Artifact, Draft, Store
from xmap.store.artifacts.identity import Identity
from xmap.store.formats.features import ImageFeatures, write_images
from xmap.store.formats.log import OUT_OF_SAMPLE_TABLE, NeighborColumn, write_affinity, write_out_of_sample, write_predictions
from xmap.store.sql.connection import connect
from xmap.store.sql.questions import QUESTIONS

CLASSES, SHOTS, TEST = 1000, 16, 50_000
METHODS = ("tip-adapter-f", "taskres", "clap", "lp++", "xmadapter", "xmadapter-paper")
SEEDS = (1, 2, 3)
EPOCHS = 32
RUNS = 5


def main() -> None:
    """Make the store, ask each question, print and write the table."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder)
        if not any(root.iterdir()):
            make_store(Store(root))
        lines = measured(root)
    write_section("Ready questions", "python -m benchmarks.questions", lines)


def measured(root: Path) -> list[str]:
    """The table: seconds to open the store, and of each question."""
    started = time.perf_counter()
    with connect(root) as connection:
        opened = time.perf_counter() - started
        (count,) = connection.query("select count(*) as n from affinity")["n"].to_pylist()
        lines = [f"{count:,} rows of the affinity log; opening the store takes {opened:.2f} s.", ""]
        lines += ["| question | median s | max s | processor s | rows |", "|---|---|---|---|---|"]
        for name, question in QUESTIONS.items():
            times, work, rows = [], [], 0
            for _ in range(RUNS):
                started, worked = time.perf_counter(), time.process_time()
                rows = connection.query(question.sql).num_rows
                times.append(time.perf_counter() - started)
                work.append(time.process_time() - worked)
            lines.append(f"| `{name}` | {statistics.median(times):.2f} | {max(times):.2f} | {statistics.median(work):.2f} | {rows} |")
    load = os.getloadavg()[0]
    return [*lines, "", f"Processor seconds are of all threads together; the machine's load was {load:.1f} on {os.cpu_count()} cores."]


def make_store(store: Store) -> None:
    """A store whose logs have the shape of real ones and random content."""
    draw = np.random.default_rng(1)
    names = [f"class {label:04d}" for label in range(CLASSES)]
    support = np.repeat(np.arange(CLASSES, dtype=np.int32), SHOTS)
    test = np.repeat(np.arange(CLASSES, dtype=np.int32), TEST // CLASSES)
    train_ids = [f"train/{label:04d}/{number:05d}.jpg" for number, label in enumerate(support)]
    test_ids = [f"val/{label:04d}/{number:05d}.jpg" for number, label in enumerate(test)]

    def images(folder: Path) -> None:
        for split, ids, labels in (("train", train_ids, support), ("test", test_ids, test)):
            rows = ImageFeatures(tuple(ids), labels, np.zeros(len(ids), np.int16), np.zeros((len(ids), 4), np.float32))
            write_images(folder / f"{split}-00000.parquet", rows, split, "made")

    made = built(store, Identity("images", "made", {}), images, {"classes": names, "dataset": "made"})
    adapters: dict[str, str] = {}
    for method in METHODS:
        for seed in SEEDS:
            identity = Identity("adapter", f"made-{method}-{seed}", {"method": method, "seed": seed}, {"images": made.fingerprint})

            def train(folder: Path, method: str = method, seed: int = seed, run: str = identity.folder) -> None:
                log = columns(draw, np.tile(support, EPOCHS), train_ids * EPOCHS)
                epochs = np.repeat(np.arange(1, EPOCHS + 1, dtype=np.int32), len(support))
                near = neighbors(draw, len(epochs), train_ids, support, epochs == EPOCHS)
                shared = {"run": run, "method": method, "seed": seed, "split": "train", "epoch": epochs, "neighbors": near}
                write_affinity(folder / "affinity/train.parquet", {**log, **shared}, "made")
                own = {"run": run, "method": method, "seed": seed, "split": "train", "sample_id": train_ids, "label": support}
                write_out_of_sample(folder / OUT_OF_SAMPLE_TABLE, {**own, **judged(draw, support)}, "made")

            adapters[f"adapter {method} seed {seed}"] = built(store, identity, train, {}).fingerprint
    pairs = [(method, seed) for method in METHODS for seed in SEEDS]

    def evaluate(folder: Path) -> None:
        log = columns(draw, np.tile(test, len(pairs)), test_ids * len(pairs))
        rows = len(test) * len(pairs)
        keys = {
            "run": [f"{method}-{seed}" for method, seed in pairs for _ in test],
            "method": [method for method, _ in pairs for _ in test],
            "seed": np.repeat([seed for _, seed in pairs], len(test)),
        }
        near = neighbors(draw, rows, train_ids, support, np.ones(rows, bool))
        write_affinity(folder / "affinity/test.parquet", {**log, **keys, "split": "test", "epoch": 0, "neighbors": near}, "made")
        own = {name: log[name] for name in ("sample_id", "label", "predicted")}
        chances = {"probability": draw.random(rows), "true_probability": draw.random(rows), "zero_shot": log["predicted"]}
        write_predictions(folder / "predictions.parquet", {**own, **keys, **chances, "top5": np.stack([log["predicted"]] * 5, 1)}, "made")

    built(store, Identity("eval", "made", {}, {"images": made.fingerprint, **adapters}), evaluate, {"results": []})


def built(store: Store, identity: Identity, fill: Callable[[Path], None], summary: dict[str, object]) -> Artifact:
    """An artifact with what `fill` writes."""
    with store.build(identity) as held:
        if isinstance(held, Draft):
            (held.path / "affinity").mkdir()
            fill(held.path)
            return held.commit(summary)  # type: ignore[arg-type]
        return held


def columns(draw: np.random.Generator, labels: np.ndarray, ids: list[str]) -> dict[str, object]:
    """Columns of the affinity log: a fifth of the predictions wrong, neighbours as often of another class."""
    rows = len(labels)
    wrong = draw.random(rows) < 0.2
    predicted = np.where(wrong, draw.integers(0, CLASSES, rows), labels).astype(np.int32)
    floats = ("gamma", "affinity_image", "affinity_text", "difference", "weight", "loss", "margin")
    return {
        "sample_id": ids,
        "label": labels,
        "predicted": predicted,
        **{name: draw.random(rows, dtype=np.float32) for name in floats},
        "zero_shot_correct": draw.random(rows) < 0.6,
        "correct": predicted == labels,
        # One image in fifty has no neighbour of its class, in any run.
        "neighbor_agreement": np.where(hashed(ids) < 0.02, 0, draw.binomial(4, 0.6, rows) + 1).astype(np.float32) / 5,
    }


def judged(draw: np.random.Generator, labels: np.ndarray) -> dict[str, object]:
    """Probabilities of labels, whatever the neighbours are."""
    chance = draw.random(len(labels), dtype=np.float32)
    return {"label_probability": chance, "likely": draw.permutation(labels), "likely_probability": np.maximum(chance, 1 - chance)}


def hashed(ids: list[str]) -> np.ndarray:
    """A number in [0, 1) for each id, the same wherever it comes."""
    known = {sample_id: zlib.crc32(sample_id.encode()) / 2**32 for sample_id in dict.fromkeys(ids)}
    return np.asarray([known[sample_id] for sample_id in ids])


def neighbors(draw: np.random.Generator, rows: int, ids: list[str], labels: np.ndarray, listed: np.ndarray) -> NeighborColumn:
    """Five random neighbours for the rows that list them."""
    keys = np.full((rows, 5), -1, np.int64)
    keys[listed] = draw.integers(0, len(ids), (int(listed.sum()), 5))
    return NeighborColumn(keys, np.zeros((rows, 5), np.float32), ids, labels)


if __name__ == "__main__":
    main()
