"""What a second encoder gives, by rows that chose nothing, and what a useless one costs. No test split is opened.

python -m benchmarks.encoders [--data FOLDER]

FOLDER is ../shared/data. The tables are written into docs/benchmarks.md.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.calibration import DATA, Data
from benchmarks.page import write_section
from benchmarks.rival_worlds import DRAWS, Draw, apart
from benchmarks.rivals import OURS, Judged
from xmap.stages.adapters.neighbors import batches
from xmap.stages.fewshot.task import FewShotTask, Support
from xmap.stages.imports.tensor_files import read_matrix
from xmap.stages.machine.device import repeatable
from xmap.stages.methods.protocol import Cache, NoLog, method
from xmap.stages.methods.registry import METHODS, method_entry
from xmap.stages.train.stage import fit
from xmap.store.formats.arrays import side_by_side

COMMAND, TWO = "python -m benchmarks.encoders", "caltech69-two"
SHOTS, FOLDS, FOLD_SHOTS = (1, 2, 4), 4, (1, 2, 3)
SEED, NUMBERS, BATCH = 5, 256, 1024
# What is told of a fit to two encoders.
FIRST, SECOND, BOTH = "B/32 alone", "B/16 alone", "both"


@dataclass(frozen=True)
class Seen:
    """Images of one encoder: those of a support of 4 a class (M, C), and the validation rows (V, C), all unit."""

    support: Tensor
    validation: Tensor

    def mixed(self, change: Callable[[Tensor], Tensor]) -> Seen:
        """The same with both sets of rows changed."""
        return Seen(change(self.support), change(self.validation))


@dataclass(frozen=True)
class World:
    """The first encoder, its data, and what a second one sees."""

    data: Data
    first: Seen
    other: Path

    @classmethod
    def of(cls, folder: Path) -> World:
        data = Data(folder / TWO / "b32")
        return cls(data, Seen(data.support(max(SHOTS)).keys, data.validation.features), folder / TWO / "b16")

    @property
    def second(self) -> Seen:
        """The second encoder of the data, which has no texts."""
        rows = (read_matrix(self.other / name).float() for name in (f"keys_{max(SHOTS)}shots.pt", "val_f.pt"))
        support, validation = rows
        return Seen(normalize(support.T, dim=-1), normalize(validation, dim=-1))

    def draws(self, second: Seen) -> Iterator[Draw]:
        """Draws of the validation rows that choose settings; the others judge."""
        labelled = replace(
            self.data.validation, features=torch.from_numpy(side_by_side([self.first.validation.numpy(), second.validation.numpy()]))
        )
        for shots in SHOTS:
            support = self._support(second, shots, torch.arange(max(SHOTS)) < shots)
            for seed in DRAWS:
                few, rest = apart(labelled, shots, seed)
                yield Draw(shots, replace(self._task(support, second), validation=few, seed=seed, selected_on="validation"), rest)

    def folds(self, second: Seen) -> Iterator[Draw]:
        """Each support image of a class is kept back in turn, and one to three of the others are the support, without validation."""
        whole = self._support(second, FOLDS, torch.ones(FOLDS, dtype=torch.bool))
        for shots in FOLD_SHOTS:
            for fold in range(FOLDS):
                given = torch.isin(torch.arange(FOLDS), torch.tensor([(fold + 1 + step) % FOLDS for step in range(shots)]))
                held = torch.nonzero((torch.arange(FOLDS) == fold).repeat(whole.classes))[:, 0]
                yield Draw(shots, self._task(self._support(second, shots, given), second), whole.plain(held))

    def _task(self, support: Support, second: Seen) -> FewShotTask:
        widths = (self.first.support.shape[1], second.support.shape[1])
        return FewShotTask(self.data.text, support, None, 1, "nothing", widths=widths, more_texts=(None,))

    def _support(self, second: Seen, shots: int, given: Tensor) -> Support:
        """Of four rows a class those that are given (4,) bool."""
        views, classes = torch.cat([self.first.support, second.support], 1)[:, None], self.data.text.classes
        rows = torch.nonzero(given.repeat(classes))[:, 0]
        labels = torch.arange(classes).repeat_interleave(FOLDS)
        return Support.of([f"{row:05d}" for row in rows.tolist()], labels[rows], views[rows], shots, classes)


def shuffled(second: Seen) -> Seen:
    """The rows of an encoder in another order: each image is said to look like another one."""
    random = np.random.default_rng(SEED)
    return second.mixed(lambda rows: rows[torch.from_numpy(random.permutation(len(rows)))])


def of_random_weights(second: Seen) -> Seen:
    """What random weights make of noise: rows that have much in common, and nothing to do with the images."""
    generator = torch.Generator().manual_seed(SEED)
    weights = torch.randn(NUMBERS, NUMBERS, generator=generator)
    return second.mixed(lambda rows: normalize((torch.randn(len(rows), NUMBERS, generator=generator) @ weights).relu(), dim=-1))


def blurred(second: Seen) -> Seen:
    """An encoder that sees little: random weights on the second one's features, and more noise than these."""
    generator = torch.Generator().manual_seed(SEED)
    weights = torch.randn(second.support.shape[1], NUMBERS, generator=generator)

    def change(rows: Tensor) -> Tensor:
        return normalize((rows @ weights + torch.randn(len(rows), NUMBERS, generator=generator) + 1.0).relu(), dim=-1)

    return second.mixed(change)


# Encoders that know nothing of the images, or little.
USELESS: Mapping[str, Callable[[Seen], Seen]] = {
    "with rows shuffled": shuffled,
    "with random weights": of_random_weights,
    "with a weak encoder": blurred,
}
Found = dict[tuple[str, str, int], Judged]


def told(name: str, draw: Draw) -> dict[str, Tensor]:
    """The logits (B, N) by each encoder alone and by both, of a method that is fitted to both."""
    module, rows = method(name), draw.kept.features
    with repeatable(draw.task.seed, "cpu"):
        fitted = fit(module, draw.task, method_entry(name).options(), NoLog())
    with torch.no_grad():
        said = [module.scores(fitted, Cache.of(draw.task), rows[part]) for part in batches(len(rows), BATCH)]
    each = torch.cat([one.encoders for one in said if one.encoders is not None], 1)
    return {FIRST: each[0], SECOND: each[1], BOTH: torch.cat([one.logits for one in said])}


def judge(found: Found, name: str, draws: Iterator[Draw], kinds: Mapping[str, str]) -> None:
    """Add the hits of a method: `kinds` are what is told of its fits, and by what word."""
    for draw in draws:
        logits = told(name, draw)
        for kind, word in kinds.items():
            one = found.setdefault((name, word, draw.shots), Judged())
            one.hits.append((logits[kind].argmax(1) == draw.kept.labels).numpy())
            one.ids.append(draw.kept.sample_ids)


def measured(world: World, draws: Callable[[World, Seen], Iterator[Draw]]) -> Found:
    """Every method that takes several encoders, and the default with useless ones too."""
    found: Found = {}
    for name in (name for name, entry in METHODS.items() if entry.several):
        judge(found, name, draws(world, world.second), {kind: kind for kind in (FIRST, SECOND, BOTH)})
        for word, change in USELESS.items() if name == OURS else ():
            judge(found, name, draws(world, change(world.second)), {BOTH: word})
    return found


def table(found: Found) -> list[str]:
    """Accuracy, and how far above the first encoder alone; the mean over the shots last."""
    shots = sorted({count for *_, count in found})
    columns = " | ".join(f"{count} shots" if count > 1 else "1 shot" for count in shots)
    lines = [f"| accuracy %, and above B/32 alone | {columns} | mean |", f"|---|{'---:|' * (len(shots) + 1)}"]
    for name, word in dict.fromkeys((name, word) for name, word, _ in found):
        ones, firsts = [found[name, word, count] for count in shots], [found[name, FIRST, count] for count in shots]
        cells = [_cell(one, first, word) for one, first in zip(ones, firsts, strict=True)]
        lines.append(f"| `{name}`, {word} | {' | '.join([*cells, _mean(ones, firsts, word)])} |")
    return lines


def _cell(one: Judged, first: Judged, word: str) -> str:
    gap, half = one.ahead_of(first)
    return f"{one.accuracy:.2f}" if word == FIRST else f"{one.accuracy:.2f} ({gap:+.2f} ± {half:.2f})"


def _mean(ones: list[Judged], firsts: list[Judged], word: str) -> str:
    """Rows are the same ones at each number of shots, so that the interval is that of all draws together."""
    return _cell(_together(ones), _together(firsts), word)


def _together(parts: list[Judged]) -> Judged:
    return Judged([hits for part in parts for hits in part.hits], [ids for part in parts for ids in part.ids])


WORDS: Mapping[str, tuple[str, Callable[[World, Seen], Iterator[Draw]]]] = {
    "Two encoders: validation rows that chose nothing": (
        f"{len(DRAWS)} draws of the validation rows that choose settings, min(K, 4) a class; judged by the other rows.",
        World.draws,
    ),
    "Two encoders: folds of the support": (
        f"Each of {FOLDS} support images of a class is kept back in turn and judges; without validation rows.",
        World.folds,
    ),
}


def main() -> None:
    """Measure, print, and write the sections."""
    parser = ArgumentParser(prog=COMMAND)
    parser.add_argument("--data", type=Path, default=DATA.parent)
    folder = parser.parse_args().data
    if not (folder / TWO).is_dir():
        parser.error(f"{folder / TWO} is not there; name the folder of the development data with --data.")
    # All is small: threads would wait for each other.
    torch.set_num_threads(1)
    for title, (words, draws) in WORDS.items():
        write_section(title, COMMAND, [words, "", *table(measured(World.of(folder), draws))])


if __name__ == "__main__":
    main()
