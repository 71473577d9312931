"""The rows of a benchmark's grid: benchmarks in CoOp's layout, stored features, or a user's own images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from xmap.pipeline.settings.config import XmapConfig
from xmap.pipeline.studies.grid import GridConfig
from xmap.stages.datasets.benchmarks.layouts import IMAGENET, Benchmark
from xmap.stages.datasets.benchmarks.table import SCHEME, benchmark, require_root
from xmap.stages.datasets.places.place import shown
from xmap.store.errors import InputError

VALIDATION_SHOTS = 4


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
