"""How far stated probabilities can be believed, before and after calibration: every method, on validation rows that chose nothing.

The validation rows of features in Tip-Adapter's layout are divided into folds. Each fold is kept back in turn, and every method is
trained with the others as its validation split, which choose settings and give the temperature; the rows kept back are scored, and
those of all folds measured together. No test split is opened.

python -m benchmarks.calibration [FOLDER]        rewrites docs/calibration.md's tables; FOLDER is ../shared/data/caltech69-b32
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from benchmarks.page import replace_between
from xmap.pipeline.adapters.adapter import Adapter
from xmap.pipeline.run.execute import run
from xmap.pipeline.run.plan import STAGES
from xmap.pipeline.settings.config import XmapConfig
from xmap.stages.config import EvalConfig
from xmap.stages.datasets.dataset import TEST
from xmap.stages.eval.metrics import calibration_error
from xmap.stages.extract.imported import import_tip_adapter
from xmap.stages.extract.tensor_files import read_tensor
from xmap.stages.fewshot.draw import feature_files
from xmap.stages.fewshot.load import labelled
from xmap.stages.methods.fitting.temperature import SPREAD, fit_temperature
from xmap.stages.methods.registry import METHODS
from xmap.stages.names import ADAPTER
from xmap.stages.workplace.progress import Silent
from xmap.store.artifacts.artifact import Store
from xmap.store.formats.features import read_images

ROOT = Path(__file__).resolve().parents[1]
DATA, PAGE = ROOT.parent / "shared" / "data" / "caltech69-b32", ROOT / "docs" / "calibration.md"
COMMAND = "python -m benchmarks.calibration"
FOLDS, DRAWS = 4, 5
FEW = (10, 25, 50, 100)
SPREADS = (0.1, SPREAD, 1.0, 10.0)
BINS = EvalConfig().bins


@dataclass(frozen=True)
class Kept:
    """Rows that an adapter has never met: logits (B, N), labels (B,), and the adapter's temperature."""

    logits: Tensor
    labels: Tensor
    temperature: float


def layouts(folder: Path, work: Path) -> Iterator[Path]:
    """The folder once for each fold: its validation rows without the fold, and the fold in place of test."""
    features, labels = (read_tensor(folder / f"val_{kind}.pt") for kind in "fl")
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(labels)))
    for number in range(FOLDS):
        kept = torch.zeros(len(labels), dtype=torch.bool)
        kept[order[number::FOLDS]] = True
        place = work / f"fold{number}"
        place.mkdir()
        for path in (*folder.glob("keys_*"), *folder.glob("values_*"), folder / "text_weights.pt", folder / "classnames.json"):
            shutil.copyfile(path, place / path.name)
        for split, rows in (("val", ~kept), ("test", kept)):
            torch.save(features[rows], place / f"{split}_f.pt")
            torch.save(labels[rows], place / f"{split}_l.pt")
        yield place


def scored(layout: Path, shots: Sequence[int]) -> dict[tuple[str, int], Kept]:
    """What every method says of the rows kept back, by method and shots."""
    store = Store(layout / "store")
    images, _ = import_tip_adapter(store, layout, layout.name, 100.0, Silent())
    rows, found = labelled(read_images(feature_files(images, TEST))), {}
    for count in shots:
        config = XmapConfig().override(
            {"run.features": layout.name, "run.methods": tuple(METHODS), "run.seeds": (1,), "cache.shots": count}
        )
        for artifact in run(store, config, build=STAGES[: STAGES.index(ADAPTER) + 1]).artifacts.values():
            if artifact.stage == ADAPTER:
                scorer = Adapter(store, artifact).scorer
                kept = Kept(scorer.scores(rows.features).logits, rows.labels, scorer.fitted.calibration.temperature)
                found[str(artifact.summary["method"]), count] = kept
        print(f"{layout.name}: {count} shots", file=sys.stderr, flush=True)
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
    for method in METHODS:
        for lines, measure, digits in ((errors, ece, 1), (losses, log_loss, 3)):
            cells = []
            for count in shots:
                kept = [fold[method, count] for fold in folds]
                labels = torch.cat([one.labels for one in kept])
                raw, said = (torch.cat([one.logits / scale for one, scale in zip(kept, scales, strict=True)]) for scales in (
                    [1.0] * len(kept), [one.temperature for one in kept],
                ))  # fmt: skip
                cells.append(f"{measure(raw, labels):.{digits}f} → {measure(said, labels):.{digits}f}")
            lines.append(f"| `{method}` | {' | '.join(cells)} |")
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
    shots = sorted(int(path.name.removeprefix("keys_").removesuffix("shots.pt")) for path in folder.glob("keys_*shots.pt"))
    with tempfile.TemporaryDirectory(prefix="xmap-") as work:
        folds = [scored(layout, shots) for layout in layouts(folder, Path(work))]
    errors, losses = tables(folds, shots)
    replace_between(PAGE, COMMAND, {"calibration error": errors, "log loss": losses, "few samples": few_lines(folds[0])})


if __name__ == "__main__":
    main()
