"""`xmap ablate`: train XMAdapter's variants on cached features, measure them on validation, and write a table and a figure each.

Features, class texts and caches are artifacts of the store as in any run; a variant's adapter lives in memory alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmap.pipeline.engines.registry import workplace_of
from xmap.pipeline.run.execute import execute
from xmap.pipeline.run.features import features_of
from xmap.pipeline.run.plan import make_plan
from xmap.pipeline.run.pool import pool_of
from xmap.pipeline.settings.config import XmapConfig
from xmap.stages.ablate.variants import ABLATIONS, DEFAULT, HARD_QUESTION, HARD_SAMPLES, METHOD, Variant
from xmap.stages.names import CACHE
from xmap.stages.workplace.progress import Once, Progress
from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.fingerprint import fingerprint
from xmap.store.disk.files import make_folder
from xmap.store.disk.output import Output
from xmap.store.errors import InputError, XmapError

if TYPE_CHECKING:
    from xmap.stages.ablate.measure import Measured, Ranking, Trained

FLAG = "--out DIR"


@dataclass(frozen=True)
class Result:
    """One ablation: its rows, what was left out and why, and the files written."""

    name: str
    question: str
    axis: str
    rows: Sequence[Measured]
    found: Sequence[Ranking]
    left_out: tuple[str, ...]
    files: tuple[Path, ...]


def ablate(store: Store, config: XmapConfig, names: Sequence[str], out: Path, progress: Progress) -> list[Result]:
    """Run the named ablations and write `out`/NAME.parquet and NAME.svg.

    A variant that these features cannot give (CoOp's texts without a text tower, more shots than there are) is left out, and
    said. Raises `XmapError` where the default fails.
    """
    make_folder(out, FLAG)
    for name in names:
        for place in (_table, _figure):
            # Making one says what cannot be written.
            place(out, name)
    worker = _Worker(store, config, progress)
    return [worker.hard(out) if name == HARD_SAMPLES else worker.ablation(name, out) for name in names]


class _Worker:
    """Trains each config once, however many variants are scored on it."""

    def __init__(self, store: Store, config: XmapConfig, progress: Progress) -> None:
        # What is said of the data and the classes holds for every variant.
        self._store, self._progress = store, Once(progress)
        self._config = config.override({"run.methods": (METHOD,), "cache.short": "keep"})
        self._known: dict[str, list[Trained]] = {}

    def ablation(self, name: str, out: Path) -> Result:
        from xmap.stages.ablate.measure import hits, measure, supports_differ

        entry = ABLATIONS[name]
        default = self._trained(DEFAULT)
        base = [hits(one, DEFAULT) for one in default]
        rows, left_out = [], []
        self._progress.start(f"ablate {name}", len(entry.variants))
        for variant in entry.variants:
            self._progress.advance(1)
            try:
                trained = self._trained(variant)
            except XmapError as error:
                left_out.append(f"{variant.name}: {error}")
                self._progress.say(f"{name}, left out {left_out[-1]}")
                continue
            differ = supports_differ(trained) or supports_differ(default)
            rows.append(measure(variant, [hits(one, variant) for one in trained], base, differ))
        table = _write(out, name, [{**asdict(row), "verdict": row.verdict} for row in rows], self._config)
        figure = _draw(out, name, entry.question, entry.axis, rows)
        return Result(name, entry.question, entry.axis, rows, (), tuple(left_out), (table, figure))

    def hard(self, out: Path) -> Result:
        from xmap.stages.ablate.figure import Point, draw
        from xmap.stages.ablate.measure import ERRORS, find_hard

        self._progress.start(f"ablate {HARD_SAMPLES}", 1)
        found = find_hard(self._trained(DEFAULT))
        self._progress.advance(1)
        there = {row.errors for row in found}
        left_out = tuple(f"{errors}: no sample, or every sample, is wrong" for errors in ERRORS if errors not in there)
        if not found:
            return Result(HARD_SAMPLES, HARD_QUESTION, "score", (), (), left_out, ())
        table = _write(out, HARD_SAMPLES, [asdict(row) for row in found], self._config)
        points = [Point(f"{row.score.split(':')[0]}\n{row.errors}", row.auroc, row.low, row.high) for row in found]
        figure = _figure(out, HARD_SAMPLES)
        figure.write(draw(HARD_QUESTION, "score, and the classifier whose errors it should find", "AUROC (0.5: chance)", points).encode())
        return Result(HARD_SAMPLES, HARD_QUESTION, "score", (), found, left_out, (table, Path(figure.name)))

    def _trained(self, variant: Variant) -> list[Trained]:
        """The variant's adapters, one a seed."""
        config = self._config.override(variant.config)
        if "run.pool_shares" in variant.config and not config.run.pool:
            raise InputError("no pool is named; give images without labels with --pool.")
        if {"encoder.model", "run.also_model"} & variant.config.keys() and config.run.features:
            raise InputError("stored features are of one encoder; give --data to compare encoders.")
        of_sentences = "data.descriptions" in variant.config or not variant.guided
        if of_sentences and not (self._config.data.descriptions or self._config.run.features):
            raise InputError("no class is described; give sentences with --descriptions.")
        # By the whole config: a variant that restates the default is not trained again.
        key = f"{config.model_dump_json()} {variant.guided}"
        if key not in self._known:
            self._known[key] = self._train(config, variant.guided)
        return self._known[key]

    def _train(self, config: XmapConfig, guided: bool) -> list[Trained]:
        from xmap.stages.ablate.measure import Inputs, train_variant
        from xmap.stages.machine.device import resolve_device

        features = features_of(self._store, config)
        plan = make_plan(self._store, config, CACHE, features=features)
        workplace, pool = workplace_of(self._store, config.run, self._progress), pool_of(self._store, config, features)
        built = execute(workplace, plan).artifacts
        pooled = (self._store.find(pool.images) or pool.build(built, workplace), pool.spec) if pool else (None, None)
        device, images = resolve_device(config.run.device), built[features.images.fingerprint]
        caches = [step.identity for step in plan.steps if step.stage == CACHE]
        trained = []
        for place, seed in enumerate(config.run.seeds):
            # Where the support is fixed, all seeds share one cache.
            cache = caches[min(place, len(caches) - 1)]
            inputs = Inputs(images, built[cache.inputs["texts"]], built[cache.fingerprint], *pooled)
            trained.append(train_variant(inputs, config.options(METHOD), seed, device, guided))
        return trained


def _write(out: Path, name: str, rows: list[dict[str, Any]], config: XmapConfig) -> Path:
    """The rows as a table that carries the fingerprint of the config they were measured with."""
    import pyarrow as pa

    from xmap.store.formats.tables import encode_table

    target = _table(out, name)
    with target.open() as file:
        encode_table(file, pa.Table.from_pylist(rows), fingerprint({"ablation": name, "config": config.model_dump(mode="json")}))
    return Path(target.name)


def _draw(out: Path, name: str, question: str, axis: str, rows: Sequence[Measured]) -> Path:
    from xmap.stages.ablate.figure import Point, draw

    target = _figure(out, name)
    points = [Point(row.variant, row.accuracy, row.low, row.high, row.default) for row in rows]
    target.write(draw(question, axis, "validation accuracy, %", points).encode())
    return Path(target.name)


def _table(out: Path, name: str) -> Output:
    return Output(out / f"{name}.parquet", FLAG)


def _figure(out: Path, name: str) -> Output:
    return Output(out / f"{name}.svg", FLAG)
