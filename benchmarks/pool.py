"""What images without labels add: `xmadapter` with a pool and without, on validation rows, whatever the pool holds.

Constants were chosen on one half of the validation rows and on support rows without labels. The rows judged here are those of the other
half, which chose nothing: once by a pool of the first half (apart), once by a pool of themselves (together). All settings are fixed
defaults. No test split is opened.

python -m benchmarks.pool [FOLDER]        rewrites docs/pool.md's table; FOLDER is ../shared/data
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.calibration import Data, taken
from benchmarks.page import replace_between
from xmap.stages.fewshot.pool import Pool
from xmap.stages.fewshot.task import FewShotTask, Labelled, Support, Text
from xmap.stages.machine.device import repeatable
from xmap.stages.methods import xmadapter
from xmap.stages.methods.options import XMAdapterOptions
from xmap.stages.methods.protocol import Cache, Fitted, NoLog

ROOT = Path(__file__).resolve().parents[1]
DATA, PAGE = ROOT.parent / "shared" / "data", ROOT / "docs" / "pool.md"
COMMAND = "python -m benchmarks.pool"
SUITES = ("caltech69-b32", "imagenet-b32-4shot")
# The seed of the halves: the same division as when constants were chosen.
HALVES, DRAW, SEED = 7, 0, 1
SHARES = (0.1, 1.0)
CASES = {
    "all": "as they come",
    "missing": "a third of the classes is not in the pool",
    "shares": "shares of the classes from 1 to 10",
    "foreign": "a third of the pool is of other classes",
}


@dataclass(frozen=True)
class World:
    """A task, and the rows of both halves: what may be a pool, and what is judged. `labels` are -1 for rows of none of its classes."""

    task: FewShotTask
    pool: Labelled
    judged: Labelled

    @classmethod
    def of(cls, data: Data, shots: int, classes: Tensor) -> World:
        """The task of some of the classes. Rows of the others stay among those of a pool."""
        place = torch.full((data.text.classes,), -1)
        place[classes] = torch.arange(len(classes))
        support, rows = data.support(shots), data.validation
        own = torch.nonzero(place[support.labels] >= 0)[:, 0]
        drawn = Support.of(
            [support.sample_ids[row] for row in own.tolist()], place[support.labels[own]], support.views[own], shots, len(classes)
        )
        text = Text(tuple(data.text.names[label] for label in classes.tolist()), data.text.weights[classes], data.text.logit_scale)
        order = np.random.default_rng(HALVES).permutation(len(rows))
        first, second = (torch.from_numpy(np.sort(half)) for half in (order[: len(rows) // 2], order[len(rows) // 2 :]))
        labelled = replace(rows, labels=place[rows.labels])
        return cls(FewShotTask(text, drawn, None, SEED, "nothing"), taken(labelled, first), taken(labelled, second))


def thinned(labels: Tensor, case: str, classes: int) -> Tensor:
    """The rows of a half that a pool holds in a case."""
    draw, rows = np.random.default_rng(DRAW), labels.numpy()
    mixed = draw.permutation(classes)
    if case == "missing":
        return torch.from_numpy(np.flatnonzero(~np.isin(rows, mixed[: classes // 3])))
    if case == "shares":
        share = np.empty(classes)
        share[mixed] = np.linspace(*SHARES, classes)
        return torch.from_numpy(np.flatnonzero(draw.random(len(rows)) < share[rows]))
    return torch.arange(len(rows))


def fitted(task: FewShotTask, pool: Tensor | None = None) -> Fitted:
    """The method with fixed defaults, by a pool or none."""
    with repeatable(SEED, "cpu"):
        given = replace(task, pool=None if pool is None else Pool(pool))
        return xmadapter.fit(given, XMAdapterOptions(), None, NoLog())


def hits(task: FewShotTask, learned: Fitted, judged: Labelled) -> Tensor:
    """Which of the judged rows are right."""
    return xmadapter.scores(learned, Cache.of(task), judged.features).logits.argmax(1) == judged.labels


def gain(before: Tensor, after: Tensor) -> str:
    """The accuracies before and after in percent, and the gain with its standard error."""
    paired = 100.0 * (after.double() - before.double())
    means = (100.0 * float(one.double().mean()) for one in (before, after))
    return f"{' → '.join(f'{mean:.1f}' for mean in means)} ({paired.mean():+.2f} ± {paired.std() / len(paired) ** 0.5:.2f})"


def worlds(data: Data, shots: int) -> Iterator[tuple[str, World, Fitted]]:
    """Each case, its task, and what labels alone teach: where some of the pool is foreign, of two thirds of the classes."""
    count = data.text.classes
    some = np.sort(np.random.default_rng(DRAW).permutation(count)[: count - count // 3])
    for classes in (torch.arange(count), torch.from_numpy(some)):
        world = World.of(data, shots, classes)
        alone = fitted(world.task)
        yield from ((case, world, alone) for case in CASES if (case == "foreign") == (len(classes) < count))


def line(suite: str, case: str, world: World, alone: Fitted) -> str:
    """A row of the table."""
    task, classes = world.task, world.task.text.classes
    apart = world.pool.features[thinned(world.pool.labels, case, classes)]
    rows = thinned(world.judged.labels, case, classes)
    known = taken(world.judged, torch.nonzero(world.judged.labels >= 0)[:, 0])
    own = taken(world.judged, rows[world.judged.labels[rows] >= 0])
    judged = [(apart, known), (world.judged.features[rows], own)]
    cells = [gain(hits(task, alone, asked), hits(task, fitted(task, pool), asked)) for pool, asked in judged]
    return f"| {suite} | {task.support.shots} | {CASES[case]} | {len(apart):,} | {cells[0]} | {len(rows):,} | {cells[1]} |"


def table(folder: Path) -> list[str]:
    """The gain of each case, suite and shot count."""
    found = ["| suite | shots | pool | images | judged apart | images | judged together |", "|---|---:|---|---:|---|---:|---|"]
    for suite in SUITES:
        data = Data(folder / suite)
        for shots in data.shots:
            for case, world, alone in worlds(data, shots):
                found.append(line(suite, case, world, alone))
                print(found[-1], file=sys.stderr, flush=True)
    return found


def main() -> None:
    """Measure, print, and write the table where the data is at hand."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA
    if not folder.is_dir():
        sys.exit(f"{folder} is not there; name a folder with features in Tip-Adapter's layout.")
    # All is small: threads would wait for each other.
    torch.set_num_threads(1)
    replace_between(PAGE, COMMAND, {"gains": table(folder)})


if __name__ == "__main__":
    main()
