"""The columns of a table of results, of which `--columns` chooses: each a name, a title, and what it shows of a method's row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xmap.cli.console import interval, number
from xmap.store.errors import InputError, UnknownName

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """A column: its title, its cell of a row of results, and whether it stands by itself or may be left out on a narrow terminal."""

    title: str
    cell: Callable[[Row], str]
    words: bool = False
    spare: bool = False


def _number(title: str, field: str, decimals: int, spare: bool = True) -> Column:
    return Column(title, lambda row: number(row.get(field), decimals), spare=spare)


# How many times its even share a class must have for a table to speak of it.
UNEVENLY = 1.25
SHARES = {"largest_share", "class_samples"}
METHOD, INTERVAL, BALANCED, POOL = "method", "interval", "balanced", "pool"
RESULTS: Mapping[str, Column] = {
    METHOD: Column("method", lambda row: str(row["method"]), words=True),
    "accuracy": _number("accuracy %", "accuracy_mean", 2, spare=False),
    INTERVAL: Column("95 % interval", lambda row: interval(row["accuracy_ci95"])),
    "trials": Column("trials", lambda row: str(row["trials"]), spare=True),
    "top5": _number("top-5 %", "top5_mean", 2),
    BALANCED: _number("balanced %", "balanced_accuracy_mean", 2),
    "f1": _number("macro-F1 %", "macro_f1_mean", 2),
    "largest": _number("largest class %", "largest_share", 1),
    "ece": _number("ECE %", "ece_mean", 1),
    "raw-ece": _number("raw ECE %", "raw_ece_mean", 1),
    "log-loss": _number("log loss", "log_loss_mean", 3),
    "raw-log-loss": _number("raw log loss", "raw_log_loss_mean", 3),
    "brier": _number("Brier", "brier_mean", 3),
    "aurc": _number("AURC %", "aurc_mean", 2),
    "coverage": _number("coverage %", "coverage_mean", 1),
    "set-size": _number("classes a set", "set_size_mean", 2),
    "single": _number("single answers %", "single_share", 1),
    "worst-coverage": _number("worst coverage %", "worst_coverage", 1),
    "temperature": Column("temperature", lambda row: ", ".join(number(one, 2) for one in row.get("temperatures", ())), spare=True),
    "selected": Column("selected on", lambda row: str(row["selected_on"]), words=True),
    "sets": Column("sets by", lambda row: str(row.get("sets_by", "")), words=True, spare=True),
    POOL: Column("images without labels", lambda row: str(row.get("pool") or "none"), words=True),
    "calibrated": Column("calibrated on", lambda row: str(row.get("calibrated_on", "")), words=True, spare=True),
}
DEFAULT = (METHOD, "accuracy", INTERVAL, "top5", "ece", "trials", "selected")
UNEVEN = (METHOD, "accuracy", INTERVAL, BALANCED, "top5", "ece", "trials", "selected")


def chosen_columns(given: str, results: Sequence[Row]) -> dict[str, Column]:
    """The columns named, after that of the method; without names those that results usually show. Raises as `require_columns`.

    Where a method learned from images without labels, that is said whatever is named.
    """
    names = require_columns(given) or (UNEVEN if uneven(results) else DEFAULT)
    pooled = (POOL,) if any(row.get("pool") for row in results) else ()
    return {name: RESULTS[name] for name in dict.fromkeys((METHOD, *names, *pooled))}


def require_columns(given: str) -> tuple[str, ...]:
    """The names of columns in a list with commas. Raises `UnknownName`, and `InputError` for a list without a name."""
    names = tuple(name for part in given.split(",") if (name := part.strip()))
    if given and not names:
        raise InputError(f"--columns {given}: name columns, such as accuracy,balanced,log-loss.")
    for name in names:
        if name not in RESULTS:
            raise UnknownName("column", name, tuple(RESULTS))
    return names


def uneven(results: Sequence[Row]) -> bool:
    """Whether one class has clearly more test images than its share, as far as an evaluation says."""
    return any(
        row["largest_share"] >= UNEVENLY * 100.0 / max(sum(map(bool, row["class_samples"])), 1) for row in results if row.keys() >= SHARES
    )
