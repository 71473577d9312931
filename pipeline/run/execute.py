"""Running a plan: each step is found in the store and reused, or built, and the outcome says which and why."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Any, Literal

from xmap.pipeline.engines.registry import workplace_of
from xmap.pipeline.run.data_changes import DataChanges, data_changes
from xmap.pipeline.run.encoded import Built
from xmap.pipeline.run.plan import STAGES, Plan, Step, make_plan
from xmap.pipeline.run.reasons import Reasons
from xmap.pipeline.run.rows import DIFFERENCES, RESULTS, Rows, counted
from xmap.pipeline.run.trainings import Trained, train_away
from xmap.pipeline.run.warnings import leaks_of, warnings_of
from xmap.pipeline.settings.config import XmapConfig
from xmap.stages.names import ADAPTER, EVAL, IMAGES, PAIRS
from xmap.stages.workplace.place import Workplace
from xmap.stages.workplace.progress import Once, Progress, Silent
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.locks import at_work
from xmap.store.artifacts.usable import usable
from xmap.store.disk.plain import plain
from xmap.store.errors import ArtifactMissing
from xmap.store.memory.uses import remember_uses

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class StepOutcome:
    """What became of a step: reused, or built and why."""

    stage: str
    title: str
    name: str
    fingerprint: str
    state: Literal["reused", "built"]
    why: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, repr=False)
class RunResult:
    """The outcomes in order, the artifacts by fingerprint, and the evaluation's results and differences where there is one.

    `warnings` say what should make one doubt an evaluation, `doubts` what does so of the data, `changes` what changed in it since its
    newest extraction; these two were said before the work began.

    >>> result = xmap.run("pets", shots=4)
    >>> [round(row["accuracy_mean"]) <= 100 for row in result.results]
    [True, True]
    >>> result.differences[0]["method"], result.differences[0]["against"]
    ('tip-adapter', 'zero-shot')
    >>> result.to_arrow()["method"].to_pylist()
    ['zero-shot', 'tip-adapter']
    """

    outcomes: tuple[StepOutcome, ...]
    artifacts: Mapping[str, Artifact]
    warnings: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    changes: DataChanges | None = None

    @property
    def evaluation(self) -> Artifact | None:
        return next((artifact for artifact in self.artifacts.values() if artifact.stage == EVAL), None)

    @property
    def results(self) -> Rows:
        """One object a method: accuracy, interval, and what was selected on what."""
        return Rows(self.evaluation.summary["results"] if self.evaluation else (), RESULTS)

    @property
    def differences(self) -> Rows:
        """One object a pair of methods: the paired difference and whether it is a tie."""
        return Rows(self.evaluation.summary["differences"] if self.evaluation else (), DIFFERENCES)

    def to_arrow(self) -> pa.Table:
        """All fields of `results` as a pyarrow table, one row a method."""
        return self.results.to_arrow()

    def to_pandas(self) -> Any:
        """The same as a pandas DataFrame. Raises `InputError` where pandas is not installed."""
        return self.results.to_pandas()

    def __repr__(self) -> str:
        head = f"<RunResult {self._about}>"
        return f"{head}\n{self.results!r}" if self.evaluation else head

    def _repr_html_(self) -> str:
        return f"<p>{escape(self._about)}</p>{self.results._repr_html_()}{self.differences._repr_html_()}"

    @property
    def _about(self) -> str:
        steps = counted(Counter(outcome.state for outcome in self.outcomes))
        return plain(f"{self.evaluation.name}: {steps}") if self.evaluation else steps


def run(
    store: Store,
    config: XmapConfig,
    progress: Progress | None = None,
    build: Collection[str] = STAGES,
    rehash: bool = False,
    report: Callable[[StepOutcome], None] | None = None,
) -> RunResult:
    """Plan up to the last stage of `build` and run it; `report` hears of each step as it is done.

    Stages outside `build` are only looked up. Raises `ArtifactMissing` naming the command to run first.
    """
    last = max(build, key=STAGES.index)
    plan = make_plan(store, config, last, rehash)
    workplace = workplace_of(store, config.run, progress or Silent())
    changes = data_changes(store, plan.steps[0].identity, plan.dataset, plan.at_hand) if IMAGES in build else None
    if changes:
        plan = replace(plan, remarks=(str(changes), *plan.remarks))
    return replace(execute(workplace, plan, build, report), changes=changes)


def execute(
    workplace: Workplace,
    plan: Plan,
    build: Collection[str] = STAGES,
    report: Callable[[StepOutcome], None] | None = None,
) -> RunResult:
    """Reuse or build each step of a plan; `report` hears of each, in order."""
    artifacts: dict[str, Artifact] = {}
    outcomes = []
    store, progress = workplace.store, Once(workplace.progress)
    builder = _Builder(replace(workplace, progress=progress), plan)
    # Where all is there nothing is built, and a store that may only be read serves too.
    there = {step.identity.fingerprint: found for step in plan.steps if (found := store.find(step.identity)) is not None}
    for found in there.values():
        usable(found)
    complete, reasons = len(there) == len(plan.steps), Reasons(store, plan.dataset, plan.at_hand)
    with nullcontext() if complete else at_work(store.root):
        for remark in plan.remarks:
            progress.say(remark)
        for step in plan.steps:
            kept = there.get(step.identity.fingerprint)
            artifact, outcome = (kept, _outcome(step)) if kept else _do(step, artifacts, builder, reasons, step.stage in build)
            artifacts[step.identity.fingerprint] = artifact
            outcomes.append(outcome)
            if report:
                report(outcome)
    remember_uses(store.root, artifacts.keys())
    for remark in plan.afterwards:
        progress.say(remark)
    return RunResult(tuple(outcomes), artifacts, tuple(_warnings(store, artifacts)), plan.doubts)


def _warnings(store: Store, artifacts: Mapping[str, Artifact]) -> Iterator[str]:
    """What should make one doubt an evaluation, where there is one."""
    found = {stage: [artifact for artifact in artifacts.values() if artifact.stage == stage] for stage in (IMAGES, ADAPTER, PAIRS, EVAL)}
    if found[EVAL]:
        yield from warnings_of(store, found[ADAPTER], found[EVAL][-1].summary.get("results", []))
        yield from (line for pairs in found[PAIRS] for line in leaks_of(store, pairs, found[IMAGES]))


class _Builder:
    """Builds the steps of a plan one by one, but for its trainings where the engine works elsewhere: all at once, when one is due."""

    def __init__(self, workplace: Workplace, plan: Plan) -> None:
        self._workplace, self._trainings = workplace, plan.trainings
        self._together = {training.identity.fingerprint for training in plan.trainings} if workplace.engine.away else set()
        self._failed: Mapping[str, Trained] | None = None

    def build(self, step: Step, built: Built) -> Artifact:
        """The artifact of a step. Raises what kept it from being built."""
        digest = step.identity.fingerprint
        if digest not in self._together:
            return step.build(built, self._workplace)
        if self._failed is None:
            self._failed = train_away(self._trainings, built, self._workplace)
        if digest in self._failed:
            raise self._failed[digest].error
        return self._workplace.store.require(step.identity)


def preview(store: Store, plan: Plan) -> list[StepOutcome]:
    """What running the plan would do."""
    found, reasons = (store.find(step.identity) is not None for step in plan.steps), Reasons(store, plan.dataset, plan.at_hand)
    return [
        _outcome(step) if there else _outcome(step, "built", reasons.why(step.identity))
        for step, there in zip(plan.steps, found, strict=True)
    ]


def _do(
    step: Step, artifacts: Mapping[str, Artifact], builder: _Builder, reasons: Reasons, may_build: bool
) -> tuple[Artifact, StepOutcome]:
    """Build a step that was not there when the run began; an engine may have done it with another one."""
    if not may_build:
        raise ArtifactMissing(step.stage, step.identity.name, f"run `{step.identity.command}` first, or `xmap run` for all stages.")
    reason = reasons.why(step.identity)
    started = time.monotonic()
    built = builder.build(step, artifacts)
    return built, _outcome(step, "built", reason, time.monotonic() - started)


def _outcome(step: Step, state: Literal["reused", "built"] = "reused", reason: str = "", seconds: float = 0.0) -> StepOutcome:
    return StepOutcome(step.stage, step.title, step.identity.name, step.identity.fingerprint, state, reason, round(seconds, 3))
