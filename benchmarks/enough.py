"""How well `xmap enough` foretells: curves fitted to few shots, beside what was then measured at more. On validation samples alone.

python -m benchmarks.enough [FOLDER]        rewrites docs/enough.md's tables; FOLDER is ../shared/data/caltech69-b32

The digits come with xmap. Adapters are trained as the command trains them, in a store of its own that is thrown away.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.page import replace_between
from xmap.cli.demo import TEMPLATE
from xmap.pipeline.settings.config import XmapConfig
from xmap.pipeline.studies.enough import adapters_of
from xmap.stages.datasets.digits import write_digits
from xmap.stages.enough.curve import Shape, fit_curve, power
from xmap.stages.enough.measure import Answers, points_of
from xmap.stages.enough.study import answers_of
from xmap.stages.imports.tip_adapter import import_tip_adapter
from xmap.stages.workplace.progress import Silent
from xmap.store.artifacts.artifact import Store
from xmap.store.formats.tables import Array

ROOT = Path(__file__).resolve().parents[1]
DATA, PAGE = ROOT.parent / "shared" / "data" / "caltech69-b32", ROOT / "docs" / "enough.md"
COMMAND = "python -m benchmarks.enough"
METHODS = ("xmadapter", "tip-adapter-f", "taskres", "gda")
SEEDS = (1, 2, 3)
MOST = 32
SHAPES: Mapping[str, Shape] = {
    "error = floor + rise · n^-rate": power,
    "floor + rise · exp(-rate (n - 1))": lambda ratio, rates: np.exp(-rates * (ratio - 1.0)),
    "floor + rise · (1 + rate) / (n + rate)": lambda ratio, rates: (1.0 + rates) / (ratio + rates),
    "floor + rise · (1 - 0.2 ln n)": lambda ratio, rates: 1.0 - 0.2 * np.log(ratio) + 0.0 * rates,
}


@dataclass(frozen=True)
class Trial:
    """A curve fitted to the first `until` of the shots, what was `found` at `ahead`, and `before` at the last; accuracies in percent."""

    data: str
    method: str
    until: int
    ahead: int
    foretold: float
    low: float
    high: float
    found: float
    before: float

    @property
    def held(self) -> bool:
        return self.low <= self.found <= self.high

    @property
    def score(self) -> float:
        """The log of how likely the interval, as a normal one, made what was measured."""
        deviation = (self.high - self.low) / (2 * 1.96)
        return float(-np.log(deviation) - 0.5 * ((self.found - self.foretold) / deviation) ** 2)


def trials(data: str, method: str, answers: Sequence[Answers], shape: Shape) -> Iterator[Trial]:
    """Curves of the first two and more numbers of shots, each asked for the next one and the one after it."""
    labels = {answer.shots: float(answer.shots) for answer in answers}
    shots = sorted(labels)
    found: Array = points_of(answers, labels).errors
    for count in range(2, len(shots)):
        curve = fit_curve(points_of([answer for answer in answers if answer.shots <= shots[count - 1]], labels), shape)
        for place in range(count, min(count + 2, len(shots))):
            said = curve.measurement(shots[place])
            ends = (100 * (1 - error) for error in (said.middle, said.high, said.low))
            yield Trial(data, method, shots[count - 1], shots[place], *ends, *(100 * (1 - float(found[row])) for row in (place, count - 1)))


def measured(folder: Path, root: Path) -> dict[tuple[str, str], list[Answers]]:
    """The answers of every method's adapters, by data set and method."""
    write_digits(root / "digits")
    store, found = Store(root / ".xmap"), {}
    import_tip_adapter(store, folder, folder.name, 100.0, Silent())
    digits = {"data.data": str(root / "digits"), "encoder.model": "xmap-tiny", "data.templates": (TEMPLATE,), "extract.views": 0}
    for name, settings in ((folder.name, {"run.features": folder.name}), ("digits", digits)):
        config = XmapConfig().override({**settings, "run.seeds": SEEDS, "run.device": "cpu"})
        for method in METHODS:
            found[name, method] = answers_of(adapters_of(store, config, method, MOST, Silent()))
            print(f"{name}: {method}", file=sys.stderr, flush=True)
    return found


def foretold(tried: Sequence[Trial]) -> list[str]:
    """What curves up to half the shots foretold, beside what was measured."""
    lines = ["| data | method | fitted to | at | foretold, % | 95 % interval | measured, % | within |", f"|{'---|' * 8}"]
    for one in tried:
        if one.ahead == 2 * one.until and one.until >= 8:
            span = f"[{one.low:.2f}, {one.high:.2f}]"
            words = f"1 to {one.until} shots | {one.ahead} shots | {one.foretold:.2f} | {span} | {one.found:.2f}"
            lines.append(f"| {one.data} | `{one.method}` | {words} | {'yes' if one.held else 'no'} |")
    return lines


def families(by_shape: Mapping[str, Sequence[Trial]]) -> list[str]:
    """How well each family foretells, over all data, methods and numbers of shots."""
    lines = ["| curve | foretold | mean miss, points | mean half interval, points | within | log score |", f"|{'---|' * 6}"]
    for name, tried in by_shape.items():
        miss, half = (float(np.mean(values)) for values in (
            [abs(one.found - one.foretold) for one in tried], [(one.high - one.low) / 2 for one in tried],
        ))  # fmt: skip
        within, score = sum(one.held for one in tried), float(np.mean([one.score for one in tried]))
        lines.append(f"| `{name}` | {len(tried)} | {miss:.2f} | {half:.2f} | {within} of {len(tried)} | {score:.2f} |")
    first = next(iter(by_shape.values()))
    stays = float(np.mean([abs(one.found - one.before) for one in first]))
    return [*lines, f"| no curve: it stays as it was | {len(first)} | {stays:.2f} | | | |"]


def main() -> None:
    """Measure, print, and write the tables where the data is at hand."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA
    if not folder.is_dir():
        sys.exit(f"{folder} is not there; name a folder of features in Tip-Adapter's layout.")
    # All is small: threads would wait for each other.
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        found = measured(folder, Path(place))
    by_shape = {
        name: [trial for (data, method), answers in found.items() for trial in trials(data, method, answers, shape)]
        for name, shape in SHAPES.items()
    }
    replace_between(PAGE, COMMAND, {"foretold": foretold(next(iter(by_shape.values()))), "families": families(by_shape)})


if __name__ == "__main__":
    main()
