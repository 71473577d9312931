"""What answers are to say and how pixels are read for them: the same whatever computes the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xmap.store.artifacts.artifact import Artifact
from xmap.store.errors import InputError

if TYPE_CHECKING:
    from xmap.stages.adapters.promises import Promises
    from xmap.stages.images.decode import Rules
    from xmap.stages.predict.prediction import Asked


def asked_of(promises: Promises, explain: bool, sets: float | None, sets_by: str, reject: float | None) -> Asked:
    """What is asked of an adapter with these promises beside classes and probabilities. Raises `InputError`, as the promises."""
    from xmap.stages.predict.prediction import NEIGHBORS, Asked

    if sets is None and sets_by != "all":
        raise InputError(f"sets by {sets_by}: no sets are asked for; give the share that they are to hold too, such as --sets 0.9.")
    chosen = None if sets is None else promises.sets(sets, sets_by)
    return Asked(NEIGHBORS if explain else 0, chosen, None if reject is None else promises.rejection(reject), promises.pool)


def rules_in(cache: Artifact, depth: str, max_pixels: int | None) -> Rules:
    """How pixels are read: as they were when the features in a cache were extracted, unless told otherwise. Raises `InputError`."""
    from xmap.pipeline.settings.config import load_config
    from xmap.stages.images.decode import rules_of

    given = {"depth": depth or None, "max_pixels": max_pixels}
    chosen = {name: cache.summary.get(name) if value is None else value for name, value in given.items()}
    settings = {f"extract.{name}": value for name, value in chosen.items() if value is not None}
    return rules_of(load_config(None, settings, read=False).extract)
