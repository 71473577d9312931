"""The benchmark: datasets x shots x seeds x methods over the same plans as `run`, so a second call reuses what there is.

A dataset that fails is noted and the others go on; so do the other methods where one cannot be trained. The ImageNet variants
are targets: adapters of ImageNet are scored on them.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from xmap.pipeline.engines.registry import workplace_of
from xmap.pipeline.run.answer import Evaluation, answer_of
from xmap.pipeline.run.encoded import Built
from xmap.pipeline.run.execute import RunResult, StepOutcome, execute
from xmap.pipeline.run.features import Features, features_of
from xmap.pipeline.run.plan import Plan, Step, make_plan, runs_of
from xmap.pipeline.settings.config import XmapConfig
from xmap.pipeline.studies.jobs import Job
from xmap.stages.datasets.benchmarks.layouts import IMAGENET
from xmap.stages.datasets.dataset import TEST
from xmap.stages.eval.identity import eval_identity
from xmap.stages.names import ADAPTER, FIXED
from xmap.stages.workplace.place import Workplace
from xmap.stages.workplace.progress import Progress
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.identity import Identity
from xmap.store.errors import InputError, MemoryRefused, MethodRefused, StoreDenied, StoreFull, XmapError, is_of_memory

OURS = "xmadapter"
Report = Callable[[StepOutcome], None]


@dataclass(frozen=True)
class Cell:
    """One dataset at one number of shots: a result a method, and the paired differences of methods.

    `benchmark` is the name in the table of benchmarks, empty for other features; `target` says that ImageNet was the source.
    """

    dataset: str
    title: str
    benchmark: str
    target: bool
    shots: int
    results: Sequence[Mapping[str, Any]]
    differences: Sequence[Mapping[str, Any]]
    warnings: Sequence[str] = ()
    evaluation: Evaluation | None = None
    model: str | None = None
    classes: Sequence[str] = ()


@dataclass(frozen=True)
class Failure:
    """What could not be done and why: a dataset, one number of shots of it, or one method there."""

    dataset: str
    shots: int | None
    method: str | None
    message: str

    @property
    def place(self) -> str:
        shots = None if self.shots is None else _shots(self.shots)
        return ", ".join(part for part in (self.dataset, shots, self.method) if part)


@dataclass(frozen=True)
class BenchResult:
    """All cells, in the order they were asked for, and what failed."""

    cells: tuple[Cell, ...]
    failures: tuple[Failure, ...]


def bench(store: Store, jobs: Sequence[Job], shots: Sequence[int], progress: Progress, report: Report, rehash: bool = False) -> BenchResult:
    """Run every job at every number of shots. Errors of one job end up in the result, never in the others."""
    worker = _Worker(store, progress, report, rehash, _Clock(len(jobs) * len(shots)))
    for job in jobs:
        worker.work(job, shots)
    return BenchResult(tuple(worker.cells), tuple(worker.failures))


class _Worker:
    """Runs jobs and keeps what came of them; features are planned once for all numbers of shots."""

    def __init__(self, store: Store, progress: Progress, report: Report, rehash: bool, clock: _Clock) -> None:
        self._clock = clock
        self._store, self._progress, self._report, self._rehash = store, progress, report, rehash
        self._done = 0
        self._known: dict[tuple[str, str], Features] = {}
        self.cells: list[Cell] = []
        self.failures: list[Failure] = []

    def work(self, job: Job, shots: Sequence[int]) -> None:
        try:
            features = self._features(job)
            counts = self._counts(features, shots)
        except Exception as error:
            self._clock.total -= len(shots)
            self._failed(job, None, None, error)
            return
        for count in counts:
            self._progress.say(f"{job.title}, {_shots(count)}: {self._clock.begin()}")
            result = self._run(job, count, features)
            if result is not None:
                self.cells.append(_cell(job, count, result))
                for line in result.warnings:
                    self._progress.say(f"warning: {job.title}, {_shots(count)}: {line}")

    def _run(self, job: Job, shots: int, features: Features) -> RunResult | None:
        """Run all methods; one that cannot be trained is noted, and the rest run without it."""
        methods = job.config.run.methods
        while methods:
            steps: tuple[Step, ...] = ()
            self._done = 0
            try:
                plan = self._plan(job, {"cache.shots": shots, "run.methods": methods}, features)
                steps = plan.steps
                return execute(workplace_of(self._store, job.config.run, self._progress), plan, report=self._hear)
            except Exception as error:
                failed = next((_pair(step.identity)[0] for step in steps[self._done :][:1] if step.stage == ADAPTER), None)
                failed = error.method if isinstance(error, MethodRefused) else failed
                self._failed(job, shots, failed, error)
                methods = tuple(method for method in methods if failed and method != failed)
        return None

    def _hear(self, outcome: StepOutcome) -> None:
        """Count the steps that are done: the one after them is the one that fails."""
        self._done += 1
        self._report(outcome)

    def _plan(self, job: Job, changes: Mapping[str, Any], features: Features) -> Plan:
        config = job.config.override(changes)
        if job.source is None:
            return make_plan(self._store, config, features=features)
        source = Job(IMAGENET, job.source.override(changes))
        return _target_plan(self._store, job, source.config, self._features(source), features)

    def _features(self, job: Job) -> Features:
        key = (job.config.run.features, job.config.data.data)
        if key not in self._known:
            self._known[key] = features_of(self._store, job.config, self._rehash)
        return self._known[key]

    def _counts(self, features: Features, shots: Sequence[int]) -> list[int]:
        """The numbers of shots that the features can give: imported ones hold a support for some alone."""
        held = sorted(int(part.removeprefix(FIXED)) for part in features.parts.prints if part.startswith(FIXED))
        counts = [count for count in shots if not held or count in held]
        listed = ", ".join(map(str, held))
        if not counts:
            raise InputError(f"features {features.name!r} hold a support for {listed} shots alone; choose of these with --shots.")
        self._clock.total -= len(shots) - len(counts)
        if len(counts) < len(shots):
            self._progress.say(f"{features.name}: holds a support for {listed} shots; the others are left out")
        return counts

    def _failed(self, job: Job, shots: int | None, method: str | None, error: Exception) -> None:
        if isinstance(error, (StoreFull, StoreDenied)):
            # Every other job would fail alike.
            raise error
        if is_of_memory(error) and not isinstance(error, XmapError):
            error = MemoryRefused(error)
        expected = isinstance(error, XmapError)
        if not expected:
            # A defect: it must not cost the other datasets, but it is told in full.
            self._progress.say("".join(traceback.format_exception(error)))
        failure = Failure(job.name, shots, method, str(error) if expected else f"{type(error).__name__}: {error}")
        self.failures.append(failure)
        self._progress.say(f"{failure.place} failed: {failure.message}")


def _cell(job: Job, shots: int, result: RunResult) -> Cell:
    said = answer_of(result)
    return Cell(
        dataset=job.name,
        title=job.title,
        benchmark=job.entry.name if job.entry else "",
        target=job.source is not None,
        shots=shots,
        results=said.results,
        differences=said.differences,
        warnings=said.warnings,
        evaluation=said.evaluation,
        model=said.model,
        classes=said.classes,
    )


class _Clock:
    """Which of `total` cells is done now, and how long the others will take if they take as long as those before."""

    def __init__(self, total: int) -> None:
        self.total, self._begun, self._started = total, 0, time.monotonic()

    def begin(self) -> str:
        done, self._begun = self._begun, self._begun + 1
        place = f"cell {self._begun} of {self.total}"
        if not done:
            return place
        minutes = (time.monotonic() - self._started) / done * (self.total - done) / 60
        return f"{place}, about {minutes:.0f} min left" if minutes >= 1 else f"{place}, less than a minute left"


def _shots(count: int) -> str:
    return "1 shot" if count == 1 else f"{count} shots"


def _target_plan(store: Store, job: Job, config: XmapConfig, source: Features, target: Features) -> Plan:
    """ImageNet's adapters, the target's images, and the evaluation of the one on the other."""
    plan = make_plan(store, config, ADAPTER, features=source)
    adapters = {_pair(step.identity): step.identity for step in plan.steps if step.stage == ADAPTER}
    parts = replace(target.parts, name=f"{job.name}-from-{source.name}", prints={TEST: target.parts.prints[TEST]})
    identity = eval_identity(parts, source.texts.fingerprint, config.eval, adapters, config.cache.shots)
    seeds = ",".join(str(seed) for seed in config.run.seeds)
    words = f"xmap bench --datasets {job.name} --shots {config.cache.shots} --methods {','.join(config.run.methods)} --seeds {seeds}"
    command = f"{words} {target.parts.where}".strip()
    identity = replace(identity, fields={**identity.fields, "target": job.name}, command=command)

    def build(built: Built, workplace: Workplace) -> Artifact:
        from xmap.stages.eval.stage import evaluate

        images, texts = built[target.images.fingerprint], built[source.texts.fingerprint]
        return evaluate(workplace, identity, images, texts, runs_of(built, adapters), config.eval, target=True)

    steps = (
        *plan.steps,
        Step(target.images, f"image features of {target.name}", target.build_images),
        Step(identity, f"eval on {job.title}", build),
    )
    return Plan(steps, plan.trainings, plan.remarks, doubts=plan.doubts)


def _pair(adapter: Identity) -> tuple[str, int]:
    return str(adapter.fields["method"]), int(str(adapter.fields["seed"]))


def means(cells: Sequence[Cell]) -> dict[tuple[str, int], float]:
    """The mean accuracy of each (method, shots) that all datasets of `cells` have."""
    datasets = {cell.dataset for cell in cells}
    found: dict[tuple[str, int], dict[str, float]] = {}
    for cell in cells:
        for row in cell.results:
            found.setdefault((row["method"], cell.shots), {})[cell.dataset] = row["accuracy_mean"]
    return {key: sum(values.values()) / len(values) for key, values in found.items() if len(values) == len(datasets)}


def against_ours(differences: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """For every other method, ours minus it: `difference`, `ci95`, `ci_kind` and `tie`."""
    found = {}
    for row in differences:
        low, high = row["ci95"]
        facts = {name: row[name] for name in ("ci_kind", "tie") if name in row}
        if row["method"] == OURS:
            found[row["against"]] = {"difference": row["difference"], "ci95": [low, high], **facts}
        elif row["against"] == OURS:
            found[row["method"]] = {"difference": -row["difference"], "ci95": [-high, -low], **facts}
    return found
