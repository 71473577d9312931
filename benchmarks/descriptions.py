"""How much images should have a say in how sentences are weighed: what weighing adds to their mean, by strength and by shots.

python -m benchmarks.descriptions [FOLDER]      rewrites docs/descriptions.md's tables; FOLDER is ../shared/data/caltech69-b32

Sentences are class texts with noise, some of them spoiled. Only images of the support of 16 a class are looked at: some of each class weigh
the sentences, the others are classified: by cosine, and by methods that learn from the same few, with their fixed defaults.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.page import replace_between
from xmap.stages.fewshot.sentences import Strength, sentence_weights, sums_of, weighed
from xmap.stages.fewshot.task import FewShotTask, Support, Text
from xmap.stages.methods.protocol import Cache, NoLog, method
from xmap.stages.methods.registry import method_entry
from xmap.stages.train.examination import right

ROOT = Path(__file__).resolve().parents[1]
DATA, PAGE = ROOT.parent / "shared" / "data" / "caltech69-b32", ROOT / "docs" / "descriptions.md"
COMMAND = "python -m benchmarks.descriptions"
SHOTS, MOST, SEEDS = (1, 2, 4, 8), 16, range(3)
METHODS, LEARNING = ("zero-shot", "tip-adapter", "taskres", "xmadapter"), (1, 2, 4)
SCALE = 100.0


@dataclass(frozen=True)
class Case:
    """So many sentences a class, each with noise of `least` to `largest`; a `share` of them is spoiled: half another class, or nothing."""

    each: int
    least: float
    largest: float
    share: float = 0.0
    other: bool = True


CASES = (
    Case(6, 0.6, 0.6), Case(6, 0.4, 1.0), Case(6, 0.4, 0.8, 0.3), Case(6, 0.6, 0.6, 0.3, other=False), Case(12, 0.5, 0.9, 0.5),
    Case(3, 0.6, 0.6, 0.2), Case(6, 0.8, 0.8, 0.1),
)  # fmt: skip


STRENGTHS = (
    Strength(), Strength(0.2, 0.5, 1.0), Strength(0.8, 0.5, 1.0), Strength(0.4, 0.0, 1.0), Strength(0.4, 1.0, 1.0), Strength(0.4, 0.5, 0.0),
    Strength(0.4, 0.5, 3.0), Strength(0.8, 0.5, 0.0),
)  # fmt: skip


def sentences_of(case: Case, texts: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Unit sentences (S, C) and their classes (S,)."""
    draw = torch.Generator().manual_seed(seed)
    classes = torch.arange(len(texts)).repeat_interleave(case.each)
    middle = texts.mean(0)

    def noise() -> Tensor:
        mixed = torch.randn(len(classes), len(texts), generator=draw) @ (texts - middle)
        return 0.7 * normalize(mixed, dim=-1) + 0.7 * normalize(torch.randn(len(classes), texts.shape[1], generator=draw), dim=-1)

    sizes = case.least + (case.largest - case.least) * torch.rand(len(classes), 1, generator=draw)
    good = normalize(texts[classes] + sizes * noise(), dim=-1)
    others = torch.randint(len(texts), (len(classes),), generator=draw)
    bad = 0.5 * texts[classes] + 0.7 * texts[others] + case.least * noise() if case.other else middle + 0.6 * noise()
    spoiled = torch.rand(len(classes), generator=draw) < case.share
    return torch.where(spoiled[:, None], normalize(bad, dim=-1), good), classes


def read(folder: Path) -> tuple[Tensor, Tensor, Tensor]:
    """Unit texts (N, C), and unit images (M, C) of the 16-shot support with their labels (M,)."""

    def load(name: str) -> Tensor:
        found: Tensor = torch.load(folder / name, weights_only=True)
        return found.float()

    images, labels = load(f"keys_{MOST}shots.pt").T, load(f"values_{MOST}shots.pt").argmax(1)
    return normalize(load("text_weights.pt").T, dim=-1), normalize(images, dim=-1), labels


def rows_shown(labels: Tensor, shots: int, seed: int) -> Tensor:
    """Which rows (M,) of sorted `labels` (M,) are shown: `shots` of each class, others for each seed."""
    place = torch.cat([torch.arange(int(count)) for count in torch.bincount(labels)])
    return (place - 4 * seed) % MOST < shots


def measured(strength: Strength, texts: Tensor, images: Tensor, labels: Tensor, shots: int) -> Iterator[tuple[float, float]]:
    """For each case and seed the accuracy in percent of the mean of sentences and of weighed ones."""
    for seed in SEEDS:
        shown = rows_shown(labels, shots, seed)
        sums, counts = sums_of([images[shown]], labels[shown], len(texts), texts.shape[1]), torch.bincount(labels[shown]).double()
        for case in CASES:
            sentences, classes = sentences_of(case, texts, seed)
            means = normalize(torch.zeros_like(texts).index_add_(0, classes, sentences), dim=-1)
            weights = sentence_weights(sentences, classes, SCALE, sums, counts, strength)
            found = (means, weighed(means, sentences, classes, weights))
            mean, guided = (100.0 * ((images[~shown] @ one.T).argmax(1) == labels[~shown]).double().mean().item() for one in found)
            yield mean, guided


def learned(texts: Tensor, images: Tensor, labels: Tensor, shots: int) -> dict[str, list[tuple[float, float]]]:
    """For each method, of each case and seed, the accuracy in percent with the mean of sentences and with weighed ones."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in METHODS}
    for case, seed in product(CASES, SEEDS):
        shown, (sentences, classes) = rows_shown(labels, shots, seed), sentences_of(case, texts, seed)
        means = normalize(torch.zeros_like(texts).index_add_(0, classes, sentences), dim=-1)
        ids = [f"{row:05d}" for row in range(int(shown.sum()))]
        support = Support.of(ids, labels[shown], images[shown][:, None], shots, len(texts))
        plain = Text(tuple(map(str, range(len(texts)))), means, SCALE, sentences, classes)
        guided = plain.guided([support.keys], support.labels, support.segments.counts)
        tasks = [FewShotTask(text, support, None, seed, "nothing") for text in (plain, guided)]
        for name in METHODS:
            before, after = (accuracy(name, task, images[~shown], labels[~shown]) for task in tasks)
            found[name].append((before, after))
    return found


def accuracy(name: str, task: FewShotTask, images: Tensor, labels: Tensor) -> float:
    """Of a method with its fixed defaults, in percent."""
    module = method(name)
    torch.manual_seed(task.seed)
    fitted = module.fit(task, method_entry(name).options(), None, NoLog())
    return 100.0 * right(module, fitted, Cache.of(task), images, labels).double().mean().item()


def table_of_methods(texts: Tensor, images: Tensor, labels: Tensor) -> list[str]:
    """The lines of the table of methods."""
    by_shots = [learned(texts, images, labels, shots) for shots in LEARNING]
    lines = ["| method | " + " | ".join(f"{shots} shot{'s' * (shots > 1)}" for shots in LEARNING) + " |"]
    lines.append("|---" * (len(LEARNING) + 1) + "|")
    for name in METHODS:
        cells = []
        for found in by_shots:
            pairs = np.array(found[name])
            gains = pairs[:, 1] - pairs[:, 0]
            cells.append(f"{pairs[:, 0].mean():.1f} {gains.mean():+.2f} ± {gains.std(ddof=1) / np.sqrt(len(gains)):.2f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def table(texts: Tensor, images: Tensor, labels: Tensor) -> list[str]:
    """The lines of the table of strengths."""
    lines = ["| sharpness | common | half at | " + " | ".join(f"{shots} shot{'s' * (shots > 1)}" for shots in SHOTS) + " | worst case |"]
    lines.append("|---|---|---|" + "---|" * (len(SHOTS) + 1))
    means: list[float] = []
    for strength in STRENGTHS:
        cells, worst = [], np.inf
        for shots in SHOTS:
            pairs = np.array(list(measured(strength, texts, images, labels, shots)))
            gains = pairs[:, 1] - pairs[:, 0]
            means += pairs[:, 0].tolist()
            cells.append(f"{gains.mean():+.2f}")
            worst = min(worst, float(gains.reshape(len(SEEDS), len(CASES)).mean(0).min()))
        name = f"{strength.sharpness:g} | {strength.common:g} | {strength.half:g}"
        lines.append(f"| {name} | {' | '.join(cells)} | {worst:+.2f} |")
    said = f"{len(CASES)} cases, {len(SEEDS)} draws; the mean alone is right in {np.mean(means):.1f} %. The first row is what xmap does."
    return [*lines, "", said]


def main(arguments: list[str]) -> None:
    """Measure, print and write the tables."""
    texts, images, labels = read(Path(arguments[0]) if arguments else DATA)
    order = torch.argsort(labels, stable=True)
    found = texts, images[order], labels[order]
    replace_between(PAGE, COMMAND, {"strengths": table(*found), "methods": table_of_methods(*found)})


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1:])
