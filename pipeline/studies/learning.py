"""Learning curves of what was measured on test: accuracy against shots for each method, a panel a data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from xmap.stages.methods.registry import method_names
from xmap.stages.pages.curves import CurvePoint, Panel, draw
from xmap.store.disk.output import Output
from xmap.store.errors import InputError

SUFFIX = ".svg"


def picture(results: Iterable[tuple[str, Mapping[str, Any]]], caption: str = "") -> str:
    """The SVG of results of methods, each with the title of its data set; below it what its intervals are over, after `caption`."""
    found: dict[str, dict[str, dict[int, CurvePoint]]] = {}
    kinds = []
    for title, row in results:
        low, high = row["accuracy_ci95"]
        found.setdefault(title, {}).setdefault(row["method"], {})[row["shots"]] = CurvePoint(row["shots"], row["accuracy_mean"], low, high)
        kinds.append(str(row["ci_kind"]))
    panels = [
        Panel(title, {method: [points[shots] for shots in sorted(points)] for method, points in methods.items()})
        for title, methods in found.items()
    ]
    said = f"bars: 95 % intervals, {'; '.join(dict.fromkeys(kinds))}"
    return draw(panels, method_names(), "; ".join(part for part in (caption, said) if part))


def has_curve(results: Sequence[tuple[str, Mapping[str, Any]]]) -> bool:
    """Whether a method has results at several numbers of shots on one data set, and none has two at one: these are of other settings."""
    seen = {(title, row["method"], row["shots"]) for title, row in results}
    return len(seen) == len(results) and len({place[:2] for place in seen}) < len(seen)


def picture_file(named: Path | str) -> Output:
    """The place that --picture names. Raises `InputError` for a name that says another format than SVG, and `OutputError`."""
    target = Output(named, "--picture FILE")
    suffix = PurePath(target.name).suffix.lower()
    if target.is_file and suffix != SUFFIX:
        raise InputError(
            f"{target.name}: pictures are written as SVG, which browsers and editors open and print at any size; name it {SUFFIX}."
        )
    return target
