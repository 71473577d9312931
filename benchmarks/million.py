"""A cache of one million keys of 512 channels in 1,000 classes: all keys, the exact top k, and the top k of an IVF index.

python -m benchmarks.million        rewrites its section of docs/benchmarks.md

The keys are ImageNet's development features with Gaussian noise of their own covariance within a class, the queries the test
features with the same noise. Tip-Adapter's formula; alpha, beta and the lists an IVF query searches are chosen on the
validation features, under the same noise.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.page import write_section
from stages.affinity import affinity, sparse_class_sums
from stages.memory import peak_memory
from stages.selection import Grid, search
from stages.task import Segments
from store.features import ImageFeatures, read_images, write_images
from store.index import Neighbors, VectorIndex

DATA = Path(__file__).resolve().parents[2] / "shared/data/imagenet-b32-4shot"
KEYS, CLASSES, PART, CHUNK, BATCH = 1_000_000, 1000, 50_000, 8192, 1024
SHOTS = KEYS // CLASSES
TOP_K = 100
FACTORY = "IVF2048,Flat"
# The share of the exact top k that the IVF search must find on validation queries: the fewest lists that do are taken.
RECALL = 0.85
BETAS, ALPHAS = (5.5, 10.0, 20.0), (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
GIB = 2**30


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
        for file, factory in (("flat", "Flat"), (FACTORY, FACTORY)):
            started = time.perf_counter()
            VectorIndex.build_in_chunks(partial(chunks, folder), KEYS, world.texts.shape[1], factory).save(folder / f"{file}.faiss")
            times[f"{factory} built from it in chunks and saved"] = time.perf_counter() - started
        rows, found = compare(world, VectorIndex.load(folder / "flat.faiss"), partial(VectorIndex.load, folder / f"{FACTORY}.faiss"))
    peak = (memory.peak_bytes or 0) / GIB
    building = "; ".join(f"{what} {seconds:.0f} s" for what, seconds in times.items())
    apart = f"Apart: {building}. {found} Peak of the whole process {peak:.2f} GiB."
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
        queries.append((noisy(normalize(features.float(), dim=-1)), truth.long()))
    texts = normalize(load(DATA / "text_weights.pt").float().T, dim=-1)
    segments = Segments.of(torch.arange(CLASSES).repeat_interleave(SHOTS), CLASSES, SHOTS)
    return World(texts, queries[0], queries[1], segments), time.perf_counter() - started


def chunks(folder: Path) -> Iterator[np.ndarray]:
    """The keys (m, C) of one Parquet file after the other."""
    for path in sorted(folder.glob("train-*.parquet")):
        yield read_images([path]).features


def compare(world: World, flat: VectorIndex, load_ivf: Callable[[], VectorIndex]) -> tuple[list[str], str]:
    """The table of the three ways, and what was chosen on validation."""
    queries, labels = world.validation
    dense = dense_sums(flat, queries, BETAS)
    chosen = {"dense": choose(world, labels, queries, lambda beta: dense[BETAS.index(beta)])}
    exact = searched(flat, queries)
    chosen["top k"] = choose(world, labels, queries, lambda beta: sparse(exact, beta, world.segments))

    started = time.perf_counter()
    (sums,) = dense_sums(flat, world.test[0], (chosen["dense"]["beta"],))
    rows = [("dense, in chunks", time.perf_counter() - started, sums, chosen["dense"], "")]
    started = time.perf_counter()
    truth = searched(flat, world.test[0])
    sums = sparse(truth, chosen["top k"]["beta"], world.segments)
    rows.append((f"exact top {TOP_K} (`Flat`)", time.perf_counter() - started, sums, chosen["top k"], "1"))
    del flat
    ivf = load_ivf()
    raise_effort(ivf, queries, exact)
    started = time.perf_counter()
    found = searched(ivf, world.test[0])
    sums = sparse(found, chosen["top k"]["beta"], world.segments)
    rows.append((f"top {TOP_K} of `{FACTORY}`", time.perf_counter() - started, sums, chosen["top k"], f"{recall(found, truth):.4f}"))
    chosen_lists = (
        f"An IVF query searches {ivf.effort} of {ivf.most_effort} lists, the least power of two with recall {RECALL} on validation."
    )
    return table(world, rows), chosen_lists


def table(world: World, rows: list[tuple[str, float, Tensor, Mapping[str, float], str]]) -> list[str]:
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
    for name, seconds, sums, point, share in rows:
        accuracy = 100.0 * float(((world.logits(queries) + point["alpha"] * sums).argmax(1) == labels).double().mean())
        cells = [f"{accuracy:.2f}", share, f"{1000 * seconds / len(queries):.2f}", f"{rows[0][1] / seconds:.1f}"]
        cells += [f"{point[setting]:.3g}" for setting in ("alpha", "beta")]
        lines.append(f"| {' | '.join([name, *cells])} |")
    return lines


def choose(world: World, labels: Tensor, queries: Tensor, sums: Callable[[float], Tensor]) -> Mapping[str, float]:
    """alpha and beta on validation queries; beta's grid is not widened, because another beta is another pass over all keys."""
    zero_shot, known = world.logits(queries), lru_cache(maxsize=None)(sums)
    grids = {"beta": Grid(BETAS, widen=False), "alpha": Grid(ALPHAS)}
    return search(grids, labels, lambda point: zero_shot + point["alpha"] * known(point["beta"])).values


def dense_sums(flat: VectorIndex, queries: Tensor, betas: tuple[float, ...]) -> list[Tensor]:
    """The mean affinity to all keys of each class (B, N), for each beta; a run of whole classes is in memory at a time."""
    sums = [torch.empty(len(queries), CLASSES) for _ in betas]
    step = max(1, CHUNK // SHOTS)
    for label in range(0, CLASSES, step):
        keys = torch.from_numpy(flat.keys(slice(label * SHOTS, (label + step) * SHOTS)))
        for start in range(0, len(queries), BATCH):
            similarity = queries[start : start + BATCH] @ keys.T
            for beta, filled in zip(betas, sums, strict=True):
                values = affinity(similarity, beta).reshape(len(similarity), -1, SHOTS)
                filled[start : start + BATCH, label : label + step] = values.mean(2)
    return sums


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
