"""Whether prediction sets hold what they promise: coverage, size and single answers over random divisions of real rows.

Half of the validation rows of features in Tip-Adapter's layout choose the settings of each adapter and give its temperature, and are then
left out. The other half, of `caltech69-b32` with the test rows, is a pool that is divided at random, again and again, into
calibration rows and the rest; what the calibration rows promise is held against the rest. Nothing is chosen by what comes out.

python -m benchmarks.sets [FOLDER]        rewrites docs/sets.md's tables; FOLDER is ../shared/data
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import normalize

from benchmarks.calibration import DATA, ROOT, SEED, Data, drawn, taken
from benchmarks.page import replace_between
from xmap.stages.adapters.kept import nonconformity
from xmap.stages.adapters.sets import threshold
from xmap.stages.fewshot.draw import VALIDATION_SHOTS
from xmap.stages.fewshot.split_index import SplitIndex
from xmap.stages.fewshot.task import FewShotTask, Labelled
from xmap.stages.imports.tensor_files import read_labels, read_matrix
from xmap.stages.machine.device import repeatable
from xmap.stages.methods.protocol import Cache, NoLog, method
from xmap.stages.methods.registry import METHODS
from xmap.stages.train.calibration import Said, calibrate_on, score
from xmap.stages.train.stage import fit
from xmap.store.formats.tables import Array

PAGE, COMMAND = ROOT / "docs" / "sets.md", "python -m benchmarks.sets"
SHOWN, SHOTS = ("zero-shot", "tip-adapter", "xmadapter", "taskres"), (4, 16)
LEVELS, COUNTS = (0.8, 0.9, 0.95), (4, 9, 30, 100, 1000)
DIVISIONS = 2000
# Of the data with a thousand classes, no test rows: half of its pool calibrates.
MANY, HALF = "imagenet-b32-4shot", 250


@dataclass(frozen=True)
class Pool:
    """What an adapter says of rows that chose nothing of it: nonconformity (B, N) of each class, raw and calibrated; labels (B,)."""

    raw: Array
    calibrated: Array
    labels: Array


@dataclass(frozen=True)
class Found:
    """Means over divisions: shares in [0, 1], and classes a set. `bare` is the coverage of the threshold alone, without the answer."""

    bare: float
    coverage: float
    size: float
    single: float


def pooled(data: Data, test: bool) -> tuple[Labelled, Labelled]:
    """The validation rows that adapters may choose by, and the pool: the other validation rows, and with `test` those of test."""
    half = torch.from_numpy(np.random.default_rng(0).permutation(len(data.validation)))
    given, kept = (taken(data.validation, rows.sort().values) for rows in half.tensor_split(2))
    if not test:
        return given, kept
    features = normalize(read_matrix(data.folder / "test_f.pt").float(), dim=-1)
    labels = read_labels(data.folder / "test_l.pt", len(features), data.text.classes)
    ids = (*kept.sample_ids, *(f"test {row:05d}" for row in range(len(labels))))
    return given, Labelled(ids, torch.cat([kept.labels, labels]), torch.cat([kept.features, features]))


def pools(data: Data, shown: Sequence[int], test: bool) -> Iterator[tuple[str, Pool]]:
    """Each adapter in words, and what it says of the pool."""
    given, pool = pooled(data, test)
    index = SplitIndex(given.sample_ids, given.labels.numpy().astype(np.int32), given.sample_ids)
    for name in SHOWN:
        module = method(name)
        for shots in shown[-1:] if name == "zero-shot" else shown:
            few = drawn(given, index.few(min(shots, VALIDATION_SHOTS), SEED))
            task = FewShotTask(data.text, data.support(shots), few, SEED, "validation")
            with repeatable(SEED, "cpu"):
                fitted = fit(module, task, METHODS[name].options(), NoLog())
                fitted = replace(fitted, calibration=calibrate_on(Said.of(module, fitted, task, given, "validation")))
                logits = score(module, fitted, Cache.of(task), pool).double()
            raw, calibrated = (nonconformity(logits / scale).numpy() for scale in (1.0, fitted.calibration.temperature))
            yield f"`{name}`" + ("" if name == "zero-shot" else f", {shots} shots"), Pool(raw, calibrated, pool.labels.numpy())


def divisions(rows: int, count: int) -> Array:
    """Which rows calibrate (D, B) bool, `count` of them in each of the divisions."""
    return np.random.default_rng(count).permuted(np.tile(np.arange(rows) < count, (DIVISIONS, 1)), axis=1)


def measured(scores: Array, labels: Array, calibrating: Array, level: float) -> Found:
    """What sets of `level` by the calibrating rows (D, B) are worth on the others; `scores` (B, N) are every class's nonconformity.

    The sets are those of `stages.adapters.sets`, of all divisions at once: classes up to a limit, and always the answer.
    """
    true = scores[np.arange(len(labels)), labels]
    limits = np.asarray([threshold(true[rows], level) for rows in calibrating])
    rest = ~calibrating
    each = rest.sum(1)
    sizes = np.stack([np.searchsorted(row, limits, side="right") for row in np.sort(scores, axis=1)], axis=1).clip(min=1)
    below = true[None] <= limits[:, None]
    shares = (below, below | (scores.argmin(1) == labels), sizes, sizes == 1)
    return Found(*(float(((share * rest).sum(1) / each).mean()) for share in shares))


def head(first: str, names: Sequence[str]) -> list[str]:
    """The head of a table."""
    return [f"| {first} | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]


def thresholds(found: Mapping[tuple[str, int, float], Found], names: Sequence[str]) -> list[str]:
    """What the threshold alone covers, percent: the lowest and the highest adapter."""
    lines = head("promised", [f"n = {count:,}" for count in COUNTS])
    for level in LEVELS:
        rows = [[100 * found[name, count, level].bare for name in names] for count in COUNTS]
        lines.append(f"| {100 * level:g} % | {' | '.join(f'{min(row):.1f} to {max(row):.1f}' for row in rows)} |")
    return lines


def promises(found: Mapping[tuple[str, int, float], Found], names: Sequence[str], level: float) -> list[str]:
    """The table of one level: coverage, classes a set, and share of single answers, by calibration rows."""
    lines = head(f"{100 * level:g} % promised", [f"n = {count:,}" for count in COUNTS])
    for name in names:
        row = [found[name, count, level] for count in COUNTS]
        lines.append(f"| {name} | {' | '.join(f'{100 * one.coverage:.1f}, {one.size:.2f}, {100 * one.single:.0f}' for one in row)} |")
    return lines


def sharpness(adapters: Mapping[str, Pool], count: int) -> list[str]:
    """Coverage, classes a set by raw and by calibrated nonconformity, and single answers by raw, by `count` calibration rows."""
    lines = head("adapter", [f"{100 * level:g} %" for level in LEVELS])
    for name, pool in adapters.items():
        marked = divisions(len(pool.labels), count)
        pairs = [[measured(side, pool.labels, marked, level) for side in (pool.raw, pool.calibrated)] for level in LEVELS]
        cells = [f"{100 * raw.coverage:.1f}, {raw.size:.2f} → {other.size:.2f}, {100 * raw.single:.0f}" for raw, other in pairs]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Measure, print, and write the tables where the data is at hand."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA.parent
    if not (folder / DATA.name).is_dir() or not (folder / MANY).is_dir():
        sys.exit(f"{folder} lacks {DATA.name} or {MANY}; name the folder of the development data.")
    # All is small: threads would wait for each other.
    torch.set_num_threads(1)
    adapters, found = dict(pools(Data(folder / DATA.name), SHOTS, test=True)), dict[tuple[str, int, float], Found]()
    for count in COUNTS:
        marked = divisions(len(next(iter(adapters.values())).labels), count)
        for name, pool in adapters.items():
            found |= {(name, count, level): measured(pool.raw, pool.labels, marked, level) for level in LEVELS}
        print(f"{count} calibration rows", file=sys.stderr, flush=True)
    levels = {f"sets at {100 * level:g} %": promises(found, list(adapters), level) for level in LEVELS}
    many = dict(pools(Data(folder / MANY), SHOTS[:1], test=False))
    sharp = {"raw and calibrated": sharpness(adapters, max(COUNTS)), "a thousand classes": sharpness(many, HALF)}
    replace_between(PAGE, COMMAND, {"threshold alone": thresholds(found, list(adapters)), **levels, **sharp})


if __name__ == "__main__":
    main()
