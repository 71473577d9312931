"""What `xmap next` saves: labels needed to know as much as random choice knows with 16 a class.

The labels of a pool are hidden. One image a class is labelled at the start; then batches are labelled, at random or in the order of
`stages.choose.ranking`, and after each the default adapter is trained, with its fixed defaults, and measured on images that were never
in the pool. All starts are drawn anew by each seed, alike for both. The pool is the training and validation images, and what is
measured the test images, which no choice was made on.

python -m benchmarks.choosing [FOLDER]        rewrites docs/choosing.md's tables; FOLDER is ../shared/data
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.calibration import Data as Given
from benchmarks.page import replace_between
from xmap.pipeline.engines.registry import workplace_of
from xmap.pipeline.run.execute import execute
from xmap.pipeline.run.plan import make_plan
from xmap.pipeline.settings.config import XmapConfig
from xmap.stages.choose.ranking import ScoredPool, order
from xmap.stages.datasets.digits import write_digits
from xmap.stages.fewshot.draw import feature_files
from xmap.stages.fewshot.load import labelled, load_text
from xmap.stages.fewshot.task import FewShotTask, Labelled, Support, Text
from xmap.stages.imports.tensor_files import read_labels, read_matrix
from xmap.stages.methods import xmadapter
from xmap.stages.methods.options import XMAdapterOptions
from xmap.stages.methods.protocol import Cache, NoLog
from xmap.stages.names import CACHE, IMAGES, TEXTS
from xmap.stages.train.calibration import score
from xmap.stages.workplace.progress import Silent
from xmap.store.artifacts.artifact import Store
from xmap.store.formats.features import read_images
from xmap.store.formats.tables import Array

ROOT = Path(__file__).resolve().parents[1]
DATA, PAGE = ROOT.parent / "shared" / "data", ROOT / "docs" / "choosing.md"
COMMAND = "python -m benchmarks.choosing"
SEEDS = range(1, 11)
# Labels a class, on average, after each batch.
LABELS = (1, 2, 3, 4, 6, 8, 11, 16)
RESAMPLES = 4000


@dataclass(frozen=True)
class Data:
    """Images to label, those that are measured, and the class texts."""

    name: str
    pool: Labelled
    kept: Labelled
    text: Text


# Rows of the pool to label: given the pool, what an adapter that the labelled rows trained says of all, these rows, how many, and the seed.
Choose = Callable[[Data, Tensor, Array, int, int], Array]


def at_random(data: Data, logits: Tensor, known: Array, n: int, seed: int) -> Array:
    """Any rows that are not labelled yet."""
    rest = np.setdiff1d(np.arange(len(data.pool)), known)
    return np.random.default_rng([seed, len(known)]).permutation(rest)[:n]


def ranked(data: Data, logits: Tensor, known: Array, n: int, seed: int) -> Array:
    """The rows that `xmap next` names."""
    rest = np.setdiff1d(np.arange(len(data.pool)), known)
    features = data.pool.features.numpy()
    chosen = order(ScoredPool(features[rest], logits.softmax(1).numpy()[rest], None, None, features[known]), n, seed)
    return np.asarray(rest[chosen])


WAYS: dict[str, Choose] = {"random": at_random, "`next`": ranked}


def learned(data: Data, rows: Array) -> tuple[Tensor, float]:
    """The logits (P, N) of the pool by an adapter that these rows of it have trained, and its accuracy on the images kept out, percent."""
    labels = data.pool.labels[rows]
    ids = [data.pool.sample_ids[row] for row in rows.tolist()]
    support = Support.of(ids, labels, data.pool.features[rows][:, None], int(labels.bincount().max()), data.text.classes)
    task = FewShotTask(data.text, support, None, 1, "nothing (fixed defaults)")
    torch.manual_seed(1)
    say = partial(score, xmadapter, xmadapter.fit(task, XMAdapterOptions(), None, NoLog()), Cache.of(task))
    return say(data.pool), 100.0 * float((say(data.kept).argmax(1) == data.kept.labels).double().mean())


def curve(data: Data, way: str, seed: int) -> list[float]:
    """The accuracy after each batch."""
    # All is small: threads would wait for each other.
    torch.set_num_threads(1)
    labels, draw = data.pool.labels.numpy(), np.random.default_rng(seed)
    rows = np.array([draw.choice(np.flatnonzero(labels == label)) for label in range(data.text.classes)])
    logits, accuracy = learned(data, rows)
    found = [accuracy]
    for count in LABELS[1:]:
        rows = np.append(rows, WAYS[way](data, logits, rows, count * data.text.classes - len(rows), seed))
        logits, accuracy = learned(data, rows)
        found.append(accuracy)
    return found


def rising(accuracies: Array) -> Array:
    """The curve that never falls and is nearest to the given one (isotonic regression)."""
    blocks: list[tuple[float, int]] = []
    for value in accuracies.tolist():
        mean, size = value, 1
        while blocks and blocks[-1][0] > mean:
            before, many = blocks.pop()
            mean, size = (mean * size + before * many) / (size + many), size + many
        blocks.append((mean, size))
    return np.concatenate([np.full(size, mean) for mean, size in blocks])


def needed(curves: Array, target: float) -> float:
    """Labels a class with which the mean of the curves (S, batches) reaches `target`, between batches by a line; inf if with none."""
    mean = rising(curves.mean(axis=0))
    for (start, end), (low, high) in zip(pairwise(LABELS), pairwise(mean.tolist()), strict=True):
        if low >= target:
            return float(start)
        if high >= target:
            return start + (target - low) / (high - low) * (end - start)
    return float("inf")


def saving(random: Array, chosen: Array) -> tuple[float, float]:
    """Random choice's accuracy at its last batch, and the labels a class with which the order reaches it."""
    target = float(rising(random.mean(axis=0))[-1])
    return target, needed(chosen, target)


def lines(all_data: Sequence[Data], found: dict[tuple[str, str], Array]) -> tuple[list[str], list[str]]:
    """The table of labels needed, with intervals over resampled seeds, and the curves."""
    most = LABELS[-1]
    labels = [
        f"| images | classes | pool | kept out | random, {most} a class | `next` needs, a class | fewer labels |",
        f"|---|{'---|' * 6}",
    ]
    curves = [f"| images | labelled | {' | '.join(map(str, LABELS))} |", f"|---|---|{'---|' * len(LABELS)}"]
    for data in all_data:
        random, chosen = (found[data.name, way] for way in WAYS)
        draws = np.random.default_rng(1).integers(0, len(random), (RESAMPLES, len(random)))
        target, need = saving(random, chosen)
        low, high = np.quantile([saving(random[draw], chosen[draw])[1] for draw in draws], (0.025, 0.975), method="nearest")
        said = [f"{value:.1f}" if np.isfinite(value) else f"over {most}" for value in (need, low, high)]
        fewer = [f"{100 * (1 - min(value, most) / most):.0f} %" for value in (need, high, low)]
        labels.append(
            f"| {data.name} | {data.text.classes} | {len(data.pool):,} | {len(data.kept):,} | {target:.1f} % "
            f"| {said[0]} ({said[1]} to {said[2]}) | {fewer[0]} ({fewer[1]} to {fewer[2]}) |"
        )
        means = {way: " | ".join(f"{value:.1f}" for value in found[data.name, way].mean(axis=0)) for way in WAYS}
        curves += [f"| {data.name} | {way} | {said} |" for way, said in means.items()]
    return labels, curves


def encoded(name: str, images: Path, template: str, store: Path) -> Data:
    """A folder of images as xmap-tiny sees them, plain."""
    settings = {"data.data": str(images), "data.templates": template, "encoder.model": "xmap-tiny", "extract.views": 0, "cache.shots": 1}
    opened, config = Store(store), XmapConfig().override({**settings, "run.methods": "zero-shot", "run.seeds": "1"})
    plan = make_plan(opened, config, CACHE)
    execute(workplace_of(opened, config.run, Silent()), plan)
    features, texts = (opened.require(next(step.identity for step in plan.steps if step.stage == stage)) for stage in (IMAGES, TEXTS))
    pool, kept = (labelled(read_images([path for split in splits for path in feature_files(features, split)])) for splits in (
        ("train", "val"), ("test",),
    ))  # fmt: skip
    return Data(name, pool, kept, load_text(texts))


def caltech(folder: Path) -> Data:
    """The support of 16 a class and the validation rows, beside the test rows."""
    given = Given(folder)
    support, validation = given.support(LABELS[-1]), given.validation
    keys = support.plain(torch.arange(len(support)))
    labels, features = torch.cat([keys.labels, validation.labels]), torch.cat([keys.features, validation.features])
    pool = Labelled((*(f"key-{one}" for one in keys.sample_ids), *validation.sample_ids), labels, features)
    test = normalize(read_matrix(folder / "test_f.pt").float(), dim=-1)
    kept = Labelled(tuple(f"{row:05d}" for row in range(len(test))), read_labels(folder / "test_l.pt", len(test), given.text.classes), test)
    return Data("`caltech69-b32`", pool, kept, given.text)


def main() -> None:
    """Measure, print, and write the tables where the data is at hand."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA
    if not folder.is_dir():
        sys.exit(f"{folder} is not there; name a folder with caltech69-b32 and photos.")
    with tempfile.TemporaryDirectory() as scratch:
        digits, store = Path(scratch) / "digits", Path(scratch) / "store"
        write_digits(digits)
        all_data = [
            encoded("digits, `xmap-tiny`", digits, "a photo of the digit {}.", store),
            caltech(folder / "caltech69-b32"),
            encoded("photographs, `xmap-tiny`", folder / "photos", "a photo of a {}.", store),
        ]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as workers:
        jobs = {(data.name, way): [workers.submit(curve, data, way, seed) for seed in SEEDS] for data in all_data for way in WAYS}
        found = {key: np.array([job.result() for job in running]) for key, running in jobs.items()}
    labels, curves = lines(all_data, found)
    replace_between(PAGE, COMMAND, {"labels": labels, "curves": curves})


if __name__ == "__main__":
    main()
