"""The rows of a benchmark's grid: benchmarks in CoOp's layout, stored features, or a user's own images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import Field, field_validator

from xmap.pipeline.settings.config import XmapConfig
from xmap.stages.config import Config
from xmap.stages.datasets.benchmarks.layouts import IMAGENET, Benchmark
from xmap.stages.datasets.benchmarks.table import ENTRIES, SCHEME, benchmark, require_root
from xmap.stages.datasets.places.place import shown
from xmap.stages.several import ALL, NAMES, NUMBERS, every
from xmap.store.errors import InputError

VALIDATION_SHOTS = 4
Count = Annotated[int, Field(ge=1)]


class GridConfig(Config):
    """What a benchmark varies; where a name is that of a setting too, it takes several of it."""

    datasets: Annotated[tuple[str, ...], NAMES] = Field((), description="Benchmarks, or all; they lie under --root.")
    features: Annotated[tuple[str, ...], NAMES] = Field((), description="Stored features, imported or extracted.")
    shots: Annotated[tuple[Count, ...], Field(min_length=1), NUMBERS] = Field(
        (1, 2, 4, 8, 16), description="Labelled training images a class."
    )
    methods: Annotated[tuple[str, ...], Field(min_length=1), NAMES] = Field((ALL,), description="Methods to train and compare.")

    @field_validator("datasets")
    @classmethod
    def _every(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return every(names, [entry.name for entry in ENTRIES])


@dataclass(frozen=True)
class Job:
    """One row of the grid: a benchmark with its entry, or stored features without one.

    For a target, `source` is the config of the ImageNet whose adapters are scored on it.
    """

    name: str
    config: XmapConfig
    entry: Benchmark | None = None
    source: XmapConfig | None = None

    @property
    def title(self) -> str:
        return self.entry.title if self.entry else self.name


def jobs_of(config: XmapConfig, grid: GridConfig) -> list[Job]:
    """The rows of a grid, each with the settings of `config` and the methods of the grid. Raises `InputError` and `UnknownName`."""
    config, most = config.override({"run.methods": grid.methods}), max(grid.shots)
    entries = [benchmark(name) for name in grid.datasets]
    if entries:
        require_root(config.data.root)
    source = _on_benchmark(config, benchmark(IMAGENET), most)
    jobs = [
        Job(entry.name, _on_benchmark(config, entry, most), entry, source if entry.target else None) for entry in dict.fromkeys(entries)
    ]
    jobs += [Job(name, config.override({"run.features": name})) for name in grid.features]
    if not jobs and config.data.data:
        place = shown(config.data.data)
        jobs = [Job(PurePosixPath(place).name or place, config)]
    if not jobs:
        raise InputError(
            "nothing to run: give --datasets all or names with --root DIR, stored features with --features NAME, or images with --data."
        )
    return jobs


def _on_benchmark(config: XmapConfig, entry: Benchmark, most: int) -> XmapConfig:
    """The config of one benchmark. As in CoOp, a class with fewer images than shots gives what it has."""
    kept = config.data.train_per_class
    if kept is None and entry.train_per_class is not None:
        kept = max(entry.train_per_class, most + VALIDATION_SHOTS)
    changes: dict[str, Any] = {"data.data": f"{SCHEME}{entry.name}", "run.features": "", "cache.short": "keep"}
    if kept is not None:
        changes["data.train_per_class"] = kept
    return config.override(changes)
