"""What the store holds of an evaluation's methods at other numbers of shots: the curves that a report draws without training anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from xmap.stages.methods.registry import method_entry
from xmap.stages.names import ADAPTER, CACHE
from xmap.store.artifacts.artifact import Artifact
from xmap.store.artifacts.usable import usable
from xmap.store.errors import XmapError

if TYPE_CHECKING:
    from xmap.stages.enough.study import Study

LEAST = 2


def growth_of(adapters: Iterable[Artifact], by_print: Mapping[str, Artifact]) -> tuple[dict[str, Study], tuple[str, ...]]:
    """By method, what adapters like those of an evaluation say at all numbers of shots that the store has of its seeds; and remarks.

    A method that takes no labels, that the store has at one number of shots, or whose adapters kept no samples apart, is not there.
    """
    by_method: dict[str, list[Artifact]] = {}
    for adapter in adapters:
        by_method.setdefault(str(adapter.summary["method"]), []).append(adapter)
    studies: dict[str, Study] = {}
    remarks = []
    for method, own in by_method.items():
        try:
            found = _study(method, _alike(own, by_print), by_print)
        except XmapError as error:
            remarks.append(f"accuracy at growing supports of {method} is not shown: {error}")
        else:
            studies |= {} if found is None else {method: found}
    return studies, tuple(remarks)


def _study(method: str, adapters: Sequence[Artifact], by_print: Mapping[str, Artifact]) -> Study | None:
    if not method_entry(method).learns or len({adapter.summary["shots"] for adapter in adapters}) < LEAST:
        return None
    from xmap.stages.adapters.kept import OUT_OF_SAMPLE
    from xmap.stages.enough.study import Trained, study

    if any(adapter.summary["kept"]["source"] == OUT_OF_SAMPLE for adapter in adapters):
        return None
    return study(method, [Trained(adapter, by_print[adapter.inputs["cache"]]) for adapter in adapters])


def _alike(own: Sequence[Artifact], by_print: Mapping[str, Artifact]) -> list[Artifact]:
    """The newest adapters like `own` that kept samples apart, at each number of shots that has them of all seeds."""
    kinds, seeds = [_kind(adapter, by_print) for adapter in own], {adapter.summary["seed"] for adapter in own}
    found: dict[int, dict[int, Artifact]] = {}
    for adapter in by_print.values():
        if adapter.stage == ADAPTER and adapter.summary.get("kept", {}).get("samples") and _kind(adapter, by_print) in kinds:
            summary = usable(adapter).summary
            found.setdefault(summary["shots"], {})[summary["seed"]] = adapter
    return [found[shots][seed] for shots in sorted(found) for seed in sorted(seeds) if seeds <= set(found[shots])]


def _kind(adapter: Artifact, by_print: Mapping[str, Artifact]) -> Any:
    """All that an adapter is made of but its shots and its seed; of one whose cache is gone, itself."""
    cache = by_print.get(adapter.inputs.get("cache", ""))
    if cache is None or cache.stage != CACHE:
        return adapter.fingerprint
    made = {name: value for name, value in adapter.fields.items() if name != "seed"}
    drawn = {name: value for name, value in cache.fields.items() if name not in ("shots", "seed", "short")}
    return made, drawn, {name: digest for name, digest in adapter.inputs.items() if name != "cache"}
