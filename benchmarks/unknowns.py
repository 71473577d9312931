"""How well images of none of the classes are told from those of the classes, by every score that could say so.

A fifth of the classes is left out, five times. Methods are trained with the rest on features in Tip-Adapter's layout, on half of their
validation rows; the other half are the known images, validation rows of the classes left out the unknown ones. The score that xmap takes
was chosen by these. With --test the test rows are measured too: no choice hangs on them.

python -m benchmarks.unknowns [--test]        measures the data in ../shared/data; with --test it rewrites docs/unknown.md's tables
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.calibration import ROOT, SEED, Data, drawn, taken
from benchmarks.page import replace_between
from xmap.stages.adapters.strangeness import SOFTNESS, strangeness
from xmap.stages.eval.metrics import auroc, false_accepts, student_interval
from xmap.stages.fewshot.draw import CALIBRATION_MOST, VALIDATION_SHOTS, SplitIndex
from xmap.stages.fewshot.space import Space
from xmap.stages.fewshot.task import FewShotTask, Labelled, Support, Text
from xmap.stages.imports.tensor_files import read_labels, read_matrix
from xmap.stages.machine.device import repeatable
from xmap.stages.methods.protocol import Cache, NoLog, method
from xmap.stages.methods.registry import METHODS
from xmap.stages.train.calibration import Said, calibrate_on, score
from xmap.stages.train.stage import fit

DATA = ROOT.parent / "shared" / "data"
PAGE, COMMAND = ROOT / "docs" / "unknown.md", "python -m benchmarks.unknowns"
FOLDERS = {"Caltech": "caltech69-b32", "ImageNet": "imagenet-b32-4shot"}
MEASURED = ("xmadapter", "tip-adapter", "taskres", "zero-shot")
DRAWS, LEFT_OUT, NEAREST = 5, 5, 5
DEFAULT, PLAIN, MCM = "both opinions (xmap's)", "max probability", "MCM"


@dataclass(frozen=True)
class Row:
    """How well one score told unknown images from known ones: AUROC, and false accepts where 95 % of the known are accepted (percent)."""

    data: str
    split: str
    draw: int
    method: str
    score: str
    auroc: float
    accepts: float

    @property
    def of(self) -> str:
        return f"{self.data} {self.split}"


@dataclass(frozen=True)
class Seen:
    """What scores are made of: unit features (B, C), an adapter's raw logits (B, N) and temperature, the task and its space."""

    features: Tensor
    logits: Tensor
    temperature: float
    task: FewShotTask
    space: Space

    @property
    def zero_shot(self) -> Tensor:
        return self.features @ self.task.text.weights.T

    def nearest(self, count: int) -> Tensor:
        keys = self.task.support.keys
        return -(self.features @ keys.T).topk(min(count, len(keys)), dim=1).values.mean(1)

    def standout(self) -> Tensor:
        """By how many standard deviations the nearest class of the space lies nearer than all."""
        cosines = self.space.cosines(self.features)
        return (cosines.mean(1) - cosines.amax(1)) / cosines.std(1)

    def mahalanobis(self) -> Tensor:
        support, root = self.task.support, self.space.root
        means = torch.zeros(support.classes, support.keys.shape[1]).index_add_(0, support.labels, support.keys)
        means = means / support.segments.counts[:, None]
        return torch.cdist(self.features @ root, means @ root).amin(1)


def sure(logits: Tensor) -> Tensor:
    return -logits.double().softmax(1).amax(1)


# Of each the larger the stranger.
SCORES: Mapping[str, Callable[[Seen], Tensor]] = {
    PLAIN: lambda seen: sure(seen.logits / seen.temperature),
    "max probability, raw": lambda seen: sure(seen.logits),
    f"max probability, raw, softened by {SOFTNESS:g}": lambda seen: sure(seen.logits / SOFTNESS),
    MCM: lambda seen: sure(seen.zero_shot),
    "energy": lambda seen: -seen.logits.double().logsumexp(1),
    "max logit": lambda seen: -seen.logits.amax(1),
    "nearest key": lambda seen: seen.nearest(1),
    f"mean of {NEAREST} nearest keys": lambda seen: seen.nearest(NEAREST),
    "Mahalanobis, nearest class": Seen.mahalanobis,
    "the same as an angle": lambda seen: -seen.space.cosines(seen.features).amax(1),
    "standout of that angle": Seen.standout,
    DEFAULT: lambda seen: strangeness(seen.logits, seen.space.cosines(seen.features)),
}
# Sums of scores, each divided by its spread over the known images.
SUMS = (
    (PLAIN, MCM), (PLAIN, "nearest key"), (PLAIN, "the same as an angle"), (MCM, "nearest key"), ("energy", "nearest key"),
    (f"max probability, raw, softened by {SOFTNESS:g}", "standout of that angle"),
)  # fmt: skip


def without_classes(data: Data, draw: int) -> tuple[Tensor, Text]:
    """The classes kept (N,), and their texts."""
    order = np.random.default_rng(draw).permutation(data.text.classes)
    kept = torch.from_numpy(np.sort(order[data.text.classes // LEFT_OUT :]))
    return kept, Text(tuple(data.text.names[row] for row in kept.tolist()), data.text.weights[kept], data.text.logit_scale)


def divided(samples: Labelled, kept: Tensor) -> tuple[Labelled, Tensor]:
    """The samples of the kept classes, numbered as these are, and the features of the others."""
    known = torch.isin(samples.labels, kept)
    mine = taken(samples, torch.nonzero(known)[:, 0])
    return replace(mine, labels=torch.searchsorted(kept, mine.labels)), samples.features[~known]


def test_rows(data: Data) -> Labelled:
    features = normalize(read_matrix(data.folder / "test_f.pt").float(), dim=-1)
    labels = read_labels(data.folder / "test_l.pt", len(features), data.text.classes)
    return Labelled(tuple(f"{row:05d}" for row in range(len(labels))), labels, features)


def measured(name: str, data: Data, opened: Mapping[str, Labelled]) -> Iterator[Row]:
    """AUROC and false accepts of every score, on validation rows that chose nothing and on the splits `opened` beside."""
    for draw in range(DRAWS):
        kept, text = without_classes(data, draw)
        known, strange = divided(data.validation, kept)
        order = torch.from_numpy(np.random.default_rng(100 + draw).permutation(len(known)))
        given, rest = (taken(known, order[start::2].sort().values) for start in (0, 1))
        splits = {"validation": (rest, strange), **{split: divided(rows, kept) for split, rows in opened.items()}}
        for shots in data.shots:
            support = data.support(shots)
            rows = torch.nonzero(torch.isin(support.labels, kept))[:, 0]
            mine = [support.sample_ids[row] for row in rows.tolist()]
            support = Support.of(mine, torch.searchsorted(kept, support.labels[rows]), support.views[rows], shots, text.classes)
            space = Space.of([support.keys], support.segments)
            index = SplitIndex(given.sample_ids, given.labels.numpy().astype(np.int32), given.sample_ids)
            task = FewShotTask(text, support, drawn(given, index.few(min(shots, VALIDATION_SHOTS), SEED)), SEED, "validation")
            some = drawn(given, index.some(CALIBRATION_MOST, SEED))
            for adapter in MEASURED:
                module = method(adapter)
                with repeatable(SEED, "cpu"):
                    fitted = fit(module, task, METHODS[adapter].options(), NoLog())
                    scale = calibrate_on(Said.of(module, fitted, task, some, "validation")).temperature
                for split, (mine_there, strange_there) in splits.items():
                    pair = []
                    for features in (mine_there.features, strange_there):
                        nobody = Labelled(("",) * len(features), torch.zeros(len(features), dtype=torch.int64), features)
                        pair.append(Seen(features, score(module, fitted, Cache.of(task), nobody), scale, task, space))
                    for what, numbers in compared(*pair).items():
                        yield Row(name, split, draw, adapter, what, *numbers)
        print(f"{name}: draw {draw}", file=sys.stderr, flush=True)


def compared(known: Seen, strange: Seen) -> dict[str, tuple[float, float]]:
    """AUROC and false accepts at 95 % accepted, of every score and sum."""
    found = {what: (score_of(known).double().numpy(), score_of(strange).double().numpy()) for what, score_of in SCORES.items()}
    for parts in SUMS:
        spreads = [float(found[part][0].std()) or 1.0 for part in parts]
        sums = [sum(found[part][side] / size for part, size in zip(parts, spreads, strict=True)) for side in (0, 1)]
        found[" + ".join(parts)] = (np.asarray(sums[0]), np.asarray(sums[1]))
    return {what: (auroc(*both), false_accepts(*both)) for what, both in found.items()}


def mean(rows: Sequence[Row], value: str, **wanted: object) -> float:
    """The mean of a value over the rows whose fields are as wanted: over draws, shots and methods alike."""
    return float(np.mean([getattr(row, value) for row in rows if all(getattr(row, name) == what for name, what in wanted.items())]))


def columns_of(rows: Sequence[Row]) -> list[str]:
    return sorted(dict.fromkeys(row.of for row in rows), key=lambda column: ("test" in column, column))


def score_lines(rows: Sequence[Row]) -> list[str]:
    """Every score, the best on validation rows first: AUROC, false accepts."""
    columns = columns_of(rows)
    judged = [column for column in columns if "validation" in column]
    scores = dict.fromkeys(row.score for row in rows)
    ranked = sorted(scores, key=lambda what: -sum(mean(rows, "auroc", of=of, score=what) for of in judged))
    lines = [f"| score | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    for what in ranked:
        cells = [f"{mean(rows, 'auroc', of=of, score=what):.1f}, {mean(rows, 'accepts', of=of, score=what):.0f}" for of in columns]
        lines.append(f"| {f'**{what}**' if what == DEFAULT else what} | {' | '.join(cells)} |")
    return lines


def gain_lines(rows: Sequence[Row]) -> list[str]:
    """What xmap's score gains over the plain ones: means over draws, with the 95 % interval (t) of these."""
    lines = ["| rows | method | AUROC | more than max probability | more than MCM |", "|---|---|---|---|---|"]
    for of in columns_of(rows):
        for adapter in (*MEASURED, ""):
            wanted = {"of": of, **({"method": adapter} if adapter else {})}
            by_draw = {}
            for what in (DEFAULT, PLAIN, MCM):
                means = [mean(rows, "auroc", draw=draw, score=what, **wanted) for draw in range(DRAWS)]
                by_draw[what] = np.array(means)
            cells = []
            for other in (PLAIN, MCM):
                gain = by_draw[DEFAULT] - by_draw[other]
                low, high = student_interval(gain)
                cells.append(f"{gain.mean():+.1f} ({low:+.1f} to {high:+.1f})")
            lines.append(f"| {of} | {f'`{adapter}`' if adapter else 'all four'} | {by_draw[DEFAULT].mean():.1f} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Measure and print; with the test rows, write the tables."""
    # All is small: threads would wait for each other.
    torch.set_num_threads(1)
    rows: list[Row] = []
    for name, folder in FOLDERS.items():
        if not (DATA / folder).is_dir():
            sys.exit(f"{DATA / folder} is not there: these features are not part of the project.")
        data = Data(DATA / folder)
        rows += measured(name, data, {"test": test_rows(data)} if "--test" in sys.argv else {})
    tables = {"scores": score_lines(rows), "gains": gain_lines(rows)}
    if "--test" in sys.argv:
        replace_between(PAGE, COMMAND, tables)
    else:
        print("\n\n".join("\n".join(lines) for lines in tables.values()))


if __name__ == "__main__":
    main()
