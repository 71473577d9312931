"""How the default stands against every other method, on rows that chose nothing. No test split is opened.

python -m benchmarks.rivals [--data FOLDER] [--methods NAME,...] [WORLD ...]

FOLDER is ../shared/data, WORLD one of those of `benchmarks.rival_worlds`. Tables are printed, and written into docs/benchmarks.md.
"""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from benchmarks.calibration import DATA
from benchmarks.page import write_section
from benchmarks.rival_worlds import CALTECH, IMAGENET, WORLDS, Draw
from xmap.stages.machine.device import repeatable
from xmap.stages.methods.protocol import Cache, NoLog, method
from xmap.stages.methods.registry import METHODS, method_entry
from xmap.stages.train.calibration import score
from xmap.stages.train.stage import fit
from xmap.store.errors import XmapError
from xmap.store.formats.tables import Array

COMMAND, OURS, PLAIN = "python -m benchmarks.rivals", "xmadapter", "zero-shot"
TWO_SIDED = 1.96


@dataclass
class Judged:
    """Which kept rows a method answers rightly, draw by draw: hits (B,) and the rows' ids."""

    hits: list[Array] = field(default_factory=list)
    ids: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def accuracy(self) -> float:
        """Mean over draws, percent."""
        return 100.0 * float(np.mean([one.mean() for one in self.hits]))

    def ahead_of(self, other: Judged) -> tuple[float, float]:
        """The difference in points, and half the width of its interval: rows are independent, what one says in several draws is not."""
        gaps = [(mine.astype(float) - its) / (len(mine) * len(self.hits)) for mine, its in zip(self.hits, other.hits, strict=True)]
        shares = np.concatenate([np.full(len(gap), 1.0 / (len(gap) * len(gaps))) for gap in gaps])
        rows = np.unique(np.concatenate([np.asarray(ids) for ids in self.ids]), return_inverse=True)[1]
        gap = np.concatenate(gaps)
        each = np.bincount(rows, gap) - gap.sum() * np.bincount(rows, shares)
        return 100.0 * float(gap.sum()), 100.0 * TWO_SIDED * float(np.sqrt(np.square(each).sum()))


def answered(name: str, draw: Draw) -> Array:
    """Which kept rows a method gives their label."""
    module = method(name)
    with repeatable(draw.task.seed, "cpu"):
        fitted = fit(module, draw.task, method_entry(name).options(), NoLog())
    right: Array = (score(module, fitted, Cache.of(draw.task), draw.kept).argmax(1) == draw.kept.labels).numpy()
    return right


def judged(draws: Sequence[Draw], names: Sequence[str]) -> tuple[dict[tuple[str, int], Judged], list[str]]:
    """Every method on all draws, by method and shots; and what refuses this data, in its own words."""
    found, refused = dict[tuple[str, int], Judged](), list[str]()
    for name in names:
        started = time.monotonic()
        try:
            for draw in draws:
                one = found.setdefault((name, draw.shots), Judged())
                one.hits.append(answered(name, draw))
                one.ids.append(draw.kept.sample_ids)
        except XmapError as problem:
            found = {key: one for key, one in found.items() if key[0] != name}
            refused.append(f"`{name}` is not among them: {problem}")
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return found, refused


def tables(found: Mapping[tuple[str, int], Judged]) -> list[str]:
    """Accuracy and gain over zero-shot, best mean first; then how far the default is ahead of each."""
    shots = sorted({count for _, count in found})
    names = sorted({name for name, _ in found}, key=lambda name: -sum(found[name, count].accuracy for count in shots))
    columns = " | ".join(f"{count} shots" if count > 1 else "1 shot" for count in shots)
    lines, rule = [f"| accuracy %, and against zero-shot | {columns} |"], f"|---|{'---:|' * len(shots)}"
    lines.append(rule)
    for name in names:
        cells = [(found[name, count].accuracy, found[name, count].ahead_of(found[PLAIN, count])[0]) for count in shots]
        lines.append(f"| `{name}` | {' | '.join(f'{percent:.2f} ({gain:+.2f})' for percent, gain in cells)} |")
    lines += ["", f"| `{OURS}` is ahead of | {columns} |", rule]
    for name in (name for name in names if name != OURS):
        gaps = [found[OURS, count].ahead_of(found[name, count]) for count in shots]
        lines.append(f"| `{name}` | {' | '.join(f'{gap:+.2f} ± {half:.2f}' for gap, half in gaps)} |")
    return lines


def main() -> None:
    """Measure, print, and write the sections."""
    parser = ArgumentParser(prog=COMMAND)
    parser.add_argument("--data", type=Path, default=DATA.parent)
    parser.add_argument("--methods")
    parser.add_argument("worlds", nargs="*", choices=[*WORLDS, []], default=[])
    given = parser.parse_args()
    names = list(dict.fromkeys([PLAIN, OURS, *(METHODS if given.methods is None else given.methods.split(","))]))
    if not (given.data / CALTECH).is_dir() or not (given.data / IMAGENET).is_dir():
        sys.exit(f"{given.data} lacks {CALTECH} or {IMAGENET}; name the folder of the development data by --data.")
    # All is small: threads would wait for each other.
    torch.set_num_threads(1)
    for name in given.worlds or WORLDS:
        world = WORLDS[name]
        found, refused = judged(list(world.draws(given.data)), names)
        lines = [f"{world.words} ± is half of a 95 % interval of the paired difference, over rows.", "", *tables(found), *refused]
        chosen = "" if given.methods is None else f"--methods {given.methods} "
        write_section(world.title, f"{COMMAND} {chosen}{name}", lines)


if __name__ == "__main__":
    main()
