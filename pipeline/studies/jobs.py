"""The rows of a benchmark's grid: benchmarks in CoOp's layout, stored features, or a user's own images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from xmap.pipeline.settings.config import ALL, XmapConfig
from xmap.stages.datasets.benchmarks.layouts import IMAGENET, Benchmark
from xmap.stages.datasets.benchmarks.table import ENTRIES, SCHEME, benchmark, require_root
from xmap.stages.datasets.places.place import shown
from xmap.stages.methods.registry import method_entry, method_names
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


def jobs_of(config: XmapConfig, datasets: Sequence[str], features: Sequence[str], most: int) -> list[Job]:
    """The rows that `datasets` (names, or all) and stored `features` ask for, at `most` shots and fewer.

    Raises `InputError` and `UnknownName`.
    """
    entries = ENTRIES if list(datasets) == [ALL] else [benchmark(name) for name in datasets]
    if entries:
        require_root(config.data.root)
    source = _on_benchmark(config, benchmark(IMAGENET), most)
    jobs = [
        Job(entry.name, _on_benchmark(config, entry, most), entry, source if entry.target else None) for entry in dict.fromkeys(entries)
    ]
    jobs += [Job(name, config.override({"run.features": name})) for name in dict.fromkeys(features)]
    if not jobs and config.data.data:
        place = shown(config.data.data)
        jobs = [Job(PurePosixPath(place).name or place, config)]
    if not jobs:
        raise InputError(
            "nothing to run: give --datasets all or names with --root DIR, stored features with --features NAME, or images with --data."
        )
    return jobs


def methods_of(names: Sequence[str]) -> tuple[str, ...]:
    """The methods that were named, or all. Raises `UnknownName`."""
    if list(names) == [ALL]:
        return method_names()
    for name in names:
        method_entry(name)
    return tuple(dict.fromkeys(names))


def _on_benchmark(config: XmapConfig, entry: Benchmark, most: int) -> XmapConfig:
    """The config of one benchmark. As in CoOp, a class with fewer images than shots gives what it has."""
    kept = config.data.train_per_class
    if kept is None and entry.train_per_class is not None:
        kept = max(entry.train_per_class, most + VALIDATION_SHOTS)
    changes: dict[str, Any] = {"data.data": f"{SCHEME}{entry.name}", "run.features": "", "cache.short": "keep"}
    if kept is not None:
        changes["data.train_per_class"] = kept
    return config.override(changes)
