"""Methods side by side: accuracy with its interval, what it cost, and how each two differ on the same samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from cli.console import interval, number, points, show, size
from cli.tables import print_table

# Of equal width: what they stand behind stays aligned.
MARKS = (" ", "*", "+")


def print_results(results: Sequence[Mapping[str, Any]], differences: Sequence[Mapping[str, Any]]) -> None:
    """Methods side by side with their intervals, then what they cost, then how they differ on the same samples."""
    columns = ("method", "accuracy %", "95 % interval", "top-5 %", "ECE %", "trials", "selected on")
    marks = marks_of(results)
    rows = [
        (
            row["method"],
            f"{row['accuracy_mean']:.2f}",
            f"{interval(row['accuracy_ci95'])}{marks[row['ci_kind']]}",
            number(row.get("top5_mean"), 2),
            number(row.get("ece_mean"), 1),
            row["trials"],
            row["selected_on"],
        )
        for row in results
    ]
    print_table(columns, rows, right=columns[1:6], spare=("trials", "top-5 %", "ECE %"), best=best_of(results))
    if results:
        seeds = ", ".join(str(seed) for seed in results[0]["seeds"])
        show(f"{results[0]['shots']} shots; seeds {seeds}; intervals: {explained(marks)}")
        print_costs(results)
    for row in differences:
        show(difference_line(row))
    for row in results:
        if row.get("edges"):
            show(f"{row['method']}: the choice of {', '.join(row['edges'])} lies at the edge of its grid.")


def best_of(results: Sequence[Mapping[str, Any]]) -> list[int]:
    """The places of the most accurate of several methods."""
    most = max((row["accuracy_mean"] for row in results), default=None)
    return [place for place, row in enumerate(results) if row["accuracy_mean"] == most and len(results) > 1]


def marks_of(results: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """A sign for each kind of interval, none for the usual one, so that a column of two kinds says which is which."""
    kinds = [str(kind) for kind, _ in Counter(row["ci_kind"] for row in results).most_common()]
    signs = MARKS if len(kinds) > 1 else ("",)
    return dict(zip(kinds, signs, strict=False))


def explained(marks: Mapping[str, str]) -> str:
    """What the signs of `marks_of` stand for."""
    return "; ".join(f"{mark.strip()} {kind}".strip() for kind, mark in marks.items())


def print_costs(results: Sequence[Mapping[str, Any]]) -> None:
    """What each method costs. The peak is the whole process's (or the GPU's) while training, so methods share what it begins with."""
    columns = ("method", "parameters", "train s", "peak memory", "ms a query", "stored")
    rows = [
        (
            row["method"],
            f"{row['trainable_parameters']:,}",
            number(row["train_seconds"], 1),
            "" if row.get("peak_bytes") is None else size(row["peak_bytes"]),
            number(row.get("ms_per_query"), 3),
            size(row["stored_bytes"]),
        )
        for row in results
    ]
    print_table(columns, rows, right=columns[1:], spare=("peak memory", "stored"))
    tuned = next((row for row in results if row.get("text") == "coop"), None)
    if tuned:
        numbers, tried = f"{tuned['text_parameters']:,} numbers", f"{tuned['text_trials']} trials"
        show(f"before them, CoOp tuned the class texts: {numbers}, {tuned['text_seconds']:.1f} s a seed, {tried}; in no row above")


def difference_line(row: Mapping[str, Any]) -> str:
    """A paired difference in points, called a tie where its interval holds zero."""
    verdict = ": a tie" if row["tie"] else ""
    return f"{row['method']} - {row['against']}: {points(row['difference'])} points, paired 95 % interval {interval(row['ci95'])}{verdict}"
