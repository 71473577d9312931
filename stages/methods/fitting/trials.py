"""Training a method at each point of a grid of training settings and keeping the epoch and the point best on validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor

from xmap.stages.fewshot.task import FewShotTask
from xmap.stages.methods.fitting.epochs import BestEpoch
from xmap.stages.methods.fitting.search import quality, search
from xmap.stages.methods.protocol import Fitted, Selection, Settings, TrainLog
from xmap.stages.methods.searched import Grid

Point = Mapping[str, float]
AfterEpoch = Callable[[int, Mapping[str, Tensor]], None]


@dataclass(frozen=True)
class Trainer:
    """A trained method, to `train_and_choose`.

    `train(point, after_epoch, log)` trains at a point and hands over its tensors after each epoch; `logits(tensors, features)`
    scores; `fixed` holds every setting's value where none is chosen; `grids` those that are, not widened: each value costs a training.
    """

    train: Callable[[Point, AfterEpoch, TrainLog], None]
    logits: Callable[[Mapping[str, Tensor], Tensor], Tensor]
    fixed: Point
    grids: Mapping[str, Grid]
    epochs: int
    parameters: int


@dataclass
class KeptLog:
    """Keeps the rows of one trial: only the chosen trial's reach the affinity log."""

    rows: list[tuple[int, Tensor, Mapping[str, Tensor]]] = field(default_factory=list)

    def add(self, epoch: int, rows: Tensor, columns: Mapping[str, Tensor]) -> None:
        """Keep the rows of one batch."""
        self.rows.append((epoch, rows, columns))

    def replay(self, log: TrainLog) -> None:
        """Hand all rows on."""
        for epoch, rows, columns in self.rows:
            log.add(epoch, rows, columns)


def train_and_choose(task: FewShotTask, trainer: Trainer, settings: Settings | None, log: TrainLog) -> Fitted:
    """Train at every point of the grids and keep the best; once, with the given or fixed settings, where nothing is chosen."""
    validation = task.validation
    if settings is not None or validation is None:
        point = {**trainer.fixed, **{name: float(value) for name, value in (settings or {}).items()}}
        kept = BestEpoch(min(int(point.pop("epoch", trainer.epochs)), trainer.epochs))
        trainer.train(point, lambda epoch, tensors: kept.offer(epoch, tensors, None), log)
        return Fitted(kept.tensors, {**point, "epoch": kept.epoch}, Selection(task.selected_on), trainer.parameters)

    features, labels = validation.features, validation.labels
    runs: dict[tuple[float, ...], tuple[BestEpoch, KeptLog]] = {}

    def trial(values: Point) -> Tensor:
        best, rows = runs[tuple(values.values())] = BestEpoch(trainer.epochs), KeptLog()

        def judge(epoch: int, tensors: Mapping[str, Tensor]) -> None:
            best.offer(epoch, tensors, quality(trainer.logits(tensors, features), labels))

        trainer.train({**trainer.fixed, **values}, judge, rows)
        return trainer.logits(best.tensors, features)

    choice = search(trainer.grids, labels, trial)
    best, rows = runs[tuple(choice.values.values())]
    rows.replay(log)
    grid = {**choice.grid, "epoch": [float(epoch) for epoch in range(1, trainer.epochs + 1)]}
    trials = sum(run.trials for run, _ in runs.values())
    selection = Selection(task.selected_on, trials, choice.accuracy, grid, choice.edges)
    return Fitted(best.tensors, {**trainer.fixed, **choice.values, "epoch": best.epoch}, selection, trainer.parameters)


def choose_after(task: FewShotTask, fitted: Fitted, grids: Mapping[str, Grid], logits: Callable[[Point], Tensor]) -> Fitted:
    """Choose settings of a trained adapter on validation samples; its training's trials and grids count too."""
    if task.validation is None:
        return fitted
    choice = search(grids, task.validation.labels, logits)
    before = fitted.selection
    edges = (*before.edges, *choice.edges)
    selection = Selection(task.selected_on, before.trials + choice.trials, choice.accuracy, {**before.grid, **choice.grid}, edges)
    return replace(fitted, settings={**fitted.settings, **choice.values}, selection=selection)
