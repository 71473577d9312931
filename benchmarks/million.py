"""A cache of one million keys of 512 channels in 1,000 classes: all keys, the exact top k, and the top k of an IVF index.

python -m benchmarks.million        rewrites its section of docs/benchmarks.md

The keys are ImageNet's development features with Gaussian noise of their own covariance within a class, the queries the test
features with the same noise, drawn several times. Tip-Adapter's formula; alpha, beta and the lists an IVF query searches are
chosen on the validation features, under the same noise. Times are the least of the draws' times.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.page import write_section
from xmap.stages.build_cache.index_choice import choose_index
from xmap.stages.fewshot.task import Segments
from xmap.stages.machine.memory import peak_memory
from xmap.stages.methods.fitting.search import Grid, search
from xmap.stages.methods.maths.affinity import sparse_class_sums
from xmap.store.formats.features import ImageFeatures, read_images, write_images
from xmap.store.formats.index import Neighbors, VectorIndex

DATA = Path(__file__).resolve().parents[2] / "shared/data/imagenet-b32-4shot"
KEYS, CLASSES, PART = 1_000_000, 1000, 10_000
SHOTS = KEYS // CLASSES
# Keys of whole classes in memory at a time, and queries that meet them at once.
CHUNK, BATCH = 2 * SHOTS, 1024
TOP_K = 100
# What `--index auto` takes: product codes of a quarter byte a channel to scan, half-precision codes for what they let through.
FACTORY = choose_index(KEYS, 512, memory=2.0, recall=0.95).factory
# The share of the exact top k that the IVF search must find on validation queries: the fewest lists that do are taken.
RECALL = 0.95
# Noisy copies of each validation and test feature: with one of each, a single test query would be 0.05 points.
DRAWS = {"val": 2, "test": 3}
BETAS, ALPHAS = (5.5, 10.0, 20.0), (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
Found = TypeVar("Found")


@dataclass(frozen=True)
class World:
    """Unit texts (N, C), noisy unit queries with labels to choose on and to score, and which key is of which class."""

    texts: Tensor
    validation: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    segments: Segments

    def logits(self, queries: Tensor) -> Tensor:
        return 100.0 * queries @ self.texts.T


def main() -> None:
    """Make the keys, build both indexes, score three ways, print and write the table."""
    if not DATA.is_dir():
        sys.exit(f"the benchmark takes its keys from {DATA}, which is not there.")
    with tempfile.TemporaryDirectory() as name, torch.no_grad(), peak_memory("cpu") as memory:
        folder = Path(name)
        world, seconds = make(folder)
        times = {"keys written as Parquet": seconds}
        for file, factory in (("flat", "Flat"), ("ivf", FACTORY)):
            started = time.perf_counter()
            VectorIndex.build_in_chunks(partial(chunks, folder), KEYS, world.texts.shape[1], factory).save(folder / f"{file}.faiss")
            times[f"`{factory}` built from it in chunks and saved"] = time.perf_counter() - started
        rows, found = compare(world, folder / "flat.faiss", folder / "ivf.faiss")
    peak = (memory.peak_bytes or 0) / 1e9
    building = "; ".join(f"{what} {seconds:.0f} s" for what, seconds in times.items())
    apart = f"Apart: {building}. {found} Peak of the whole process {peak:.2f} GB."
    write_section("A million keys", "python -m benchmarks.million", [*rows, "", apart])


def make(folder: Path) -> tuple[World, float]:
    """Write the keys to Parquet, in parts, sorted by class; the world around them, and the seconds it took."""
    started = time.perf_counter()
    load = partial(torch.load, weights_only=True)
    support = normalize(load(DATA / "keys_4shots.pt").float().T, dim=-1)
    labels = load(DATA / "values_4shots.pt").float().argmax(1)
    order = torch.argsort(labels, stable=True)
    support, labels = support[order], labels[order]
    means = torch.zeros(CLASSES, support.shape[1]).index_add_(0, labels, support) / torch.bincount(labels)[:, None]
    rest = (support - means[labels]).double()
    spread = torch.linalg.cholesky(rest.T @ rest / (len(rest) - CLASSES) + 1e-8 * torch.eye(rest.shape[1])).float().T
    draw = torch.Generator().manual_seed(1)

    def noisy(features: Tensor) -> Tensor:
        return normalize(features + torch.randn(features.shape, generator=draw) @ spread, dim=-1)

    copies = KEYS // len(support)
    for start in range(0, KEYS, PART):
        rows = torch.arange(start, start + PART) // copies
        part = ImageFeatures(
            tuple(f"{row:07d}" for row in range(start, start + PART)),
            labels[rows].numpy().astype(np.int32),
            np.zeros(PART, np.int16),
            noisy(support[rows]).half().numpy(),
        )
        write_images(folder / f"train-{start // PART:05d}.parquet", part, "train", "made")
    queries = []
    for split in ("val", "test"):
        features, truth = (load(DATA / f"{split}_{what}.pt") for what in ("f", "l"))
        plain = normalize(features.float(), dim=-1)
        queries.append((torch.cat([noisy(plain) for _ in range(DRAWS[split])]), truth.long().repeat(DRAWS[split])))
    texts = normalize(load(DATA / "text_weights.pt").float().T, dim=-1)
    segments = Segments.of(torch.arange(CLASSES).repeat_interleave(SHOTS), CLASSES, SHOTS)
    return World(texts, queries[0], queries[1], segments), time.perf_counter() - started


def chunks(folder: Path) -> Iterator[np.ndarray]:
    """The keys (m, C) of one Parquet file after the other."""
    for path in sorted(folder.glob("train-*.parquet")):
        yield read_images([path]).features


@dataclass(frozen=True)
class Row:
    """One way of scoring the test queries: class sums (B, N), the alpha and beta they are used with, seconds a query, recall."""

    name: str
    sums: Tensor
    point: Mapping[str, float]
    seconds: float
    recall: str = ""


def compare(world: World, flat: Path, ivf: Path) -> tuple[list[str], str]:
    """The table of the three ways, and what was chosen on validation. One index is open at a time."""
    exact, point, truth, rows = from_all_keys(world, VectorIndex.load(flat))
    index = VectorIndex.load(ivf)
    raise_effort(index, world.validation[0], exact)
    pairs, spent = timed(world, lambda queries: (found := searched(index, queries), sparse(found, point["beta"], world.segments)))
    share = np.mean([recall(found, true) for (found, _), true in zip(pairs, truth, strict=True)])
    rows.append(Row(f"top {TOP_K} of `{FACTORY}`", torch.cat([sums for _, sums in pairs]), point, spent, f"{share:.4f}"))
    lists = f"An IVF query searches {index.effort} of {index.most_effort} lists"
    return table(world, rows), f"{lists}, the least power of two with recall {RECALL} on validation."


def from_all_keys(world: World, flat: VectorIndex) -> tuple[Neighbors, Mapping[str, float], list[Neighbors], list[Row]]:
    """The validation queries' exact top k and what was chosen with them, the test queries' top k, and the rows of the exact ways."""
    queries, labels = world.validation
    dense = choose(world, labels, queries, lambda beta: dense_sums(flat, queries, beta))
    exact = searched(flat, queries)
    point = choose(world, labels, queries, lambda beta: sparse(exact, beta, world.segments))
    parts, spent = timed(world, lambda queries: dense_sums(flat, queries, dense["beta"]))
    rows = [Row("dense, in chunks", torch.cat(parts), dense, spent)]
    truth, spent = timed(world, partial(searched, flat))
    sums = torch.cat([sparse(found, point["beta"], world.segments) for found in truth])
    return exact, point, truth, [*rows, Row(f"exact top {TOP_K} (`Flat`)", sums, point, spent, "1")]


def timed(world: World, work: Callable[[Tensor], Found]) -> tuple[list[Found], float]:
    """What `work` finds for the test queries, one draw after the other, and its least seconds a query."""
    draws, found, spent = world.test[0].chunk(DRAWS["test"]), [], []
    for queries in draws:
        started = time.perf_counter()
        found.append(work(queries))
        spent.append((time.perf_counter() - started) / len(queries))
    return found, min(spent)


def table(world: World, rows: list[Row]) -> list[str]:
    """One line a way of scoring the test queries."""
    queries, labels = world.test
    zero_shot = 100.0 * float((world.logits(queries).argmax(1) == labels).double().mean())
    lines = [
        f"{KEYS:,} keys x {world.texts.shape[1]}, {CLASSES:,} classes, {len(queries):,} queries, "
        f"{torch.get_num_threads()} threads. Zero-shot {zero_shot:.2f} %.",
        "",
        f"| image affinities | accuracy % | recall at {TOP_K} | ms a query | dense / it | alpha | beta |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        accuracy = 100.0 * float(((world.logits(queries) + row.point["alpha"] * row.sums).argmax(1) == labels).double().mean())
        cells = [f"{accuracy:.2f}", row.recall, f"{1000 * row.seconds:.3f}", f"{rows[0].seconds / row.seconds:.1f}"]
        cells += [f"{row.point[setting]:.3g}" for setting in ("alpha", "beta")]
        lines.append(f"| {' | '.join([row.name, *cells])} |")
    return lines


def choose(world: World, labels: Tensor, queries: Tensor, sums: Callable[[float], Tensor]) -> Mapping[str, float]:
    """alpha and beta on validation queries; beta's grid is not widened, because another beta is another pass over all keys."""
    zero_shot, known = world.logits(queries), lru_cache(maxsize=None)(sums)
    grids = {"beta": Grid(BETAS, widen=False), "alpha": Grid(ALPHAS)}
    return search(grids, labels, lambda point: zero_shot + point["alpha"] * known(point["beta"])).values


def dense_sums(flat: VectorIndex, queries: Tensor, beta: float) -> Tensor:
    """The mean affinity to all keys of each class (B, N); a run of whole classes is in memory at a time.

    exp(-beta) is a factor of all affinities, and beta one of the queries: what is left to do to every value is its exponential.
    """
    sums, sharp = torch.empty(len(queries), CLASSES), beta * queries
    room = torch.empty(BATCH, CHUNK)
    for row in range(0, KEYS, CHUNK):
        keys = torch.from_numpy(flat.keys(slice(row, row + CHUNK)))
        for start in range(0, len(queries), BATCH):
            batch = sharp[start : start + BATCH]
            values = torch.mm(batch, keys.T, out=room[: len(batch)]).exp_().reshape(len(batch), -1, SHOTS)
            torch.mean(values, 2, out=sums[start : start + BATCH, row // SHOTS : (row + CHUNK) // SHOTS])
    return sums.mul_(math.exp(-beta))


def sparse(found: Neighbors, beta: float, segments: Segments) -> Tensor:
    """Class sums (B, N) over the retrieved keys, divided by the keys of a class as the dense ones are."""
    return sparse_class_sums(torch.from_numpy(found.scores), torch.from_numpy(found.rows), beta, segments) / segments.shots


def searched(index: VectorIndex, queries: Tensor) -> Neighbors:
    return index.search(queries.numpy(), TOP_K)


def raise_effort(index: VectorIndex, queries: Tensor, exact: Neighbors) -> None:
    """Search twice as many lists until the recall is reached on `queries`."""
    index.effort = 1
    while recall(searched(index, queries), exact) < RECALL and (index.effort or 0) < index.most_effort:
        index.effort = 2 * (index.effort or 1)


def recall(found: Neighbors, exact: Neighbors) -> float:
    """The share of the exact neighbours that were found."""
    return float(np.mean([len(np.intersect1d(*pair)) / TOP_K for pair in zip(found.rows, exact.rows, strict=True)]))


if __name__ == "__main__":
    main()
