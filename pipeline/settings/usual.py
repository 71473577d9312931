"""Methods that nobody named one by one, the four of a run or `all`: where it has several encoders or a pool, those that take such."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xmap.stages.methods.registry import all_names, method_entry
from xmap.store.disk.plain import named

if TYPE_CHECKING:
    from xmap.pipeline.settings.config import RunConfig

FOUR = ("zero-shot", "tip-adapter", "tip-adapter-f", "xmadapter")


def fitting(names: tuple[str, ...], run: RunConfig) -> tuple[str, ...]:
    """Those of the four, or of all methods, that take what the run has; what somebody has named stays, to be refused if it does not fit.

    Raises `PluginError` for a method of another package that cannot be used.
    """
    several, pool = bool(run.also_model or run.also_features), bool(run.pool)
    if not (several or pool) or names not in (FOUR, all_names()):
        return names
    entries = {name: method_entry(name) for name in names}
    return tuple(name for name, entry in entries.items() if (entry.several or not several) and (entry.pools or not pool))


def left_out(run: RunConfig) -> tuple[str, ...]:
    """A remark on methods of one encoder, where the others run by several; of the one that takes a pool it would only say its name."""
    for names in (FOUR, all_names()):
        left = [name for name in names if name not in run.methods]
        if left and len(run.methods) > 1 and run.methods == fitting(names, run):
            return (f"methods left out, which take one encoder: {named(left)}",)
    return ()
