"""How far stated probabilities can be believed, before and after calibration: every method, on validation rows that chose nothing.

The validation rows of features in Tip-Adapter's layout are divided into folds. Each fold is kept back in turn, and every method is
trained with the others as its validation split, which choose settings and give the temperature; the rows kept back are scored, and
those of all folds measured together. No test split is opened.

python -m benchmarks.calibration [FOLDER]        rewrites docs/calibration.md's tables; FOLDER is ../shared/data/caltech69-b32
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from benchmarks.page import replace_between
from xmap.stages.config import EvalConfig
from xmap.stages.eval.metrics import calibration_error
from xmap.stages.fewshot.draw import CALIBRATION_MOST, KEPT_MOST, VALIDATION_SHOTS
from xmap.stages.fewshot.split_index import SplitIndex
from xmap.stages.fewshot.task import FewShotTask, Labelled, Support, Text
from xmap.stages.imports.tensor_files import read_labels, read_matrix
from xmap.stages.machine.device import repeatable
from xmap.stages.methods.fitting.temperature import SPREAD, fit_temperature
from xmap.stages.methods.protocol import Cache, NoLog, method
from xmap.stages.methods.registry import METHODS
from xmap.stages.train.calibration import Said, calibrate_on, score
from xmap.stages.train.stage import fit

ROOT = Path(__file__).resolve().parents[1]
DATA, PAGE = ROOT.parent / "shared" / "data" / "caltech69-b32", ROOT / "docs" / "calibration.md"
COMMAND = "python -m benchmarks.calibration"
FOLDS, DRAWS, SEED = 4, 5, 1
FEW = (10, 25, 50, 100)
SPREADS = (0.1, SPREAD, 1.0, 10.0)
BINS = EvalConfig().bins


@dataclass(frozen=True)
class Kept:
    """Rows that an adapter has never met: logits (B, N), labels (B,), and the adapter's temperature."""

    logits: Tensor
    labels: Tensor
    temperature: float


@dataclass(frozen=True)
class Data:
    """Features in Tip-Adapter's layout, without test."""

    folder: Path

    @property
    def shots(self) -> list[int]:
        return sorted(int(path.name.removeprefix("keys_").removesuffix("shots.pt")) for path in self.folder.glob("keys_*shots.pt"))

    @cached_property
    def text(self) -> Text:
        weights = normalize(read_matrix(self.folder / "text_weights.pt").T.float(), dim=-1)
        return Text(tuple(map(str, range(len(weights)))), weights, 100.0)

    @cached_property
    def validation(self) -> Labelled:
        features = normalize(read_matrix(self.folder / "val_f.pt").float(), dim=-1)
        labels = read_labels(self.folder / "val_l.pt", len(features), self.text.classes)
        return Labelled(tuple(f"{row:05d}" for row in range(len(labels))), labels, features)

    def support(self, count: int) -> Support:
        keys, values = read_matrix(self.folder / f"keys_{count}shots.pt").T.float(), read_matrix(self.folder / f"values_{count}shots.pt")
        return Support.of([f"{row:05d}" for row in range(len(keys))], values.argmax(1), keys[:, None], count, self.text.classes)

    def without(self, fold: int) -> tuple[Labelled, Labelled]:
        """The validation rows that are given when a fold is kept back, and the fold."""
        kept = torch.zeros(len(self.validation), dtype=torch.bool)
        kept[torch.from_numpy(np.random.default_rng(0).permutation(len(kept))[fold::FOLDS])] = True
        return taken(self.validation, torch.nonzero(~kept)[:, 0]), taken(self.validation, torch.nonzero(kept)[:, 0])


def taken(samples: Labelled, rows: Tensor) -> Labelled:
    """Some of the samples."""
    return Labelled(tuple(samples.sample_ids[row] for row in rows.tolist()), samples.labels[rows], samples.features[rows])


def drawn(samples: Labelled, index: SplitIndex) -> Labelled:
    """Those of the samples that a draw names."""
    named = set(index.sample_ids)
    return taken(samples, torch.tensor([row for row, one in enumerate(samples.sample_ids) if one in named]))


def scored(data: Data, fold: int) -> dict[tuple[str, int], Kept]:
    """What every method says of the rows kept back, by method and shots; draws are those of a training."""
    given, kept = data.without(fold)
    index = SplitIndex(given.sample_ids, given.labels.numpy().astype(np.int32), given.sample_ids)
    some, found = drawn(given, index.some(CALIBRATION_MOST, SEED)), {}
    choosing = index.without(set(index.half(KEPT_MOST, SEED).sample_ids))
    for count in data.shots:
        few = drawn(given, choosing.few(min(count, VALIDATION_SHOTS), SEED))
        task = FewShotTask(data.text, data.support(count), few, SEED, "validation")
        for name, entry in METHODS.items():
            module = method(name)
            with repeatable(SEED, "cpu"):
                fitted = fit(module, task, entry.options(), NoLog())
                fitted = replace(fitted, calibration=calibrate_on(Said.of(module, fitted, task, some, "validation")))
                found[name, count] = Kept(score(module, fitted, Cache.of(task), kept), kept.labels, fitted.calibration.temperature)
        print(f"fold {fold}: {count} shots", file=sys.stderr, flush=True)
    return found


def ece(scaled: Tensor, labels: Tensor) -> float:
    """The expected calibration error of logits (B, N), percent."""
    sure, said = scaled.softmax(1).max(1)
    return 100.0 * calibration_error(sure.numpy(), (said == labels).numpy(), BINS)


def log_loss(scaled: Tensor, labels: Tensor) -> float:
    """The mean cross-entropy of logits (B, N)."""
    return float(cross_entropy(scaled.double(), labels))


def tables(folds: Sequence[Mapping[tuple[str, int], Kept]], shots: Sequence[int]) -> tuple[list[str], list[str]]:
    """Calibration error and log loss, before and after, of the rows of all folds together."""
    head = [f"| method | {' | '.join(f'{count} shots' if count > 1 else '1 shot' for count in shots)} |", f"|---|{'---|' * len(shots)}"]
    errors, losses = list(head), list(head)
    for name in METHODS:
        for lines, measure, digits in ((errors, ece, 1), (losses, log_loss, 3)):
            cells = []
            for count in shots:
                kept = [fold[name, count] for fold in folds]
                labels = torch.cat([one.labels for one in kept])
                raw, said = (torch.cat([one.logits / scale for one, scale in zip(kept, scales, strict=True)]) for scales in (
                    [1.0] * len(kept), [one.temperature for one in kept],
                ))  # fmt: skip
                cells.append(f"{measure(raw, labels):.{digits}f} → {measure(said, labels):.{digits}f}")
            lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return errors, losses


def few_lines(fold: Mapping[tuple[str, int], Kept]) -> list[str]:
    """What a temperature fitted on a few of the rows kept back makes of the others, by its belief that T is near 1."""
    lines = ["| samples | " + " | ".join(f"spread {spread:g}" for spread in SPREADS) + " |", f"|---|{'---|' * len(SPREADS)}"]
    random = np.random.default_rng(1)
    for count in FEW:
        changes: dict[float, list[float]] = {spread: [] for spread in SPREADS}
        for kept in fold.values():
            for _ in range(DRAWS):
                order = torch.from_numpy(random.permutation(len(kept.labels)))
                given, other = order[:count], order[max(FEW) :]
                before = log_loss(kept.logits[other], kept.labels[other])
                for spread in SPREADS:
                    scale = fit_temperature(kept.logits[given], kept.labels[given], spread)
                    changes[spread].append(log_loss(kept.logits[other] / scale, kept.labels[other]) - before)
        cells = [f"{np.mean(found):+.3f}, {np.quantile(found, 0.95):+.3f}, {np.max(found):+.3f}" for found in changes.values()]
        lines.append(f"| {count} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Measure, print, and write the tables where the data is at hand."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA
    if not folder.is_dir():
        sys.exit(f"{folder} is not there; name a folder of features in Tip-Adapter's layout.")
    # All is small: threads would wait for each other.
    torch.set_num_threads(1)
    data = Data(folder)
    folds = [scored(data, fold) for fold in range(FOLDS)]
    errors, losses = tables(folds, data.shots)
    replace_between(PAGE, COMMAND, {"calibration error": errors, "log loss": losses, "few samples": few_lines(folds[0])})


if __name__ == "__main__":
    main()
