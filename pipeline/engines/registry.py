"""The registry of engines. Another one is a module with an `Engine` and its entry here. Nothing is imported before it is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from xmap.pipeline.settings.config import RunConfig
from xmap.stages.machine.threads import unhelped_threads
from xmap.stages.workplace.engine import LOCAL, Engine
from xmap.stages.workplace.place import Workplace
from xmap.stages.workplace.progress import Progress
from xmap.store.artifacts.artifact import Store
from xmap.store.errors import InputError


def _local(run: RunConfig) -> Engine:
    if run.gpus_per_worker is not None:
        raise InputError("--gpus-per-worker is for --engine ray; the local engine takes --device.")
    return LOCAL


def _ray(run: RunConfig) -> Engine:
    from xmap.pipeline.engines.ray_cluster import RayEngine

    asked = {"cpu": 0.0, "cuda": 1.0}.get(run.device)
    gpus = asked if run.gpus_per_worker is None else run.gpus_per_worker
    if (run.device, bool(gpus)) in (("cpu", True), ("cuda", False)):
        raise InputError(f"--gpus-per-worker {gpus:g} contradicts --device {run.device}; give one of the two.")
    return RayEngine(gpus, unhelped_threads(run.workers))


ENGINES: Mapping[str, Callable[[RunConfig], Engine]] = {"local": _local, "ray": _ray}


def engine_of(run: RunConfig) -> Engine:
    """The engine that `run` names. Raises `InputError` for settings that do not go together."""
    return ENGINES[run.engine](run)


def workplace_of(store: Store, run: RunConfig, progress: Progress) -> Workplace:
    """Where and with what the stages of a run work. Raises `InputError` for settings that do not go together."""
    engine = engine_of(run)
    return Workplace(store, progress, run.device, unhelped_threads(run.workers) if engine.away else run.workers, engine)
