"""Methods side by side: accuracy with its interval, what it cost, and how each two differ on the same samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import typer

from cli.console import interval, number, points, print_table, size


def print_results(results: Sequence[Mapping[str, Any]], differences: Sequence[Mapping[str, Any]]) -> None:
    """Methods side by side with their intervals, then what they cost, then how they differ on the same samples."""
    columns = ("method", "accuracy %", "95 % interval", "top-5 %", "ECE %", "trials", "selected on")
    rows = [
        (
            row["method"],
            f"{row['accuracy_mean']:.2f}",
            interval(row["accuracy_ci95"]),
            number(row.get("top5_mean"), 2),
            number(row.get("ece_mean"), 1),
            row["trials"],
            row["selected_on"],
        )
        for row in results
    ]
    print_table(columns, rows, right=columns[1:6])
    if results:
        kinds = {str(row["method"]): str(row["ci_kind"]) for row in results}
        seeds = ", ".join(str(seed) for seed in results[0]["seeds"])
        typer.echo(f"{results[0]['shots']} shots; seeds {seeds}; intervals: {_kinds(kinds)}")
        print_costs(results)
    for row in differences:
        typer.echo(difference_line(row))
    for row in results:
        if row.get("edges"):
            typer.echo(f"{row['method']}: the choice of {', '.join(row['edges'])} lies at the edge of its grid.")


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
    print_table(columns, rows, right=columns[1:])
    tuned = next((row for row in results if row.get("text") == "coop"), None)
    if tuned:
        numbers, tried = f"{tuned['text_parameters']:,} numbers", f"{tuned['text_trials']} trials"
        typer.echo(f"before them, CoOp tuned the class texts: {numbers}, {tuned['text_seconds']:.1f} s a seed, {tried}; in no row above")


def _kinds(kinds: Mapping[str, str]) -> str:
    if len(set(kinds.values())) == 1:
        return next(iter(kinds.values()))
    return "; ".join(f"{method} {kind}" for method, kind in kinds.items())


def difference_line(row: Mapping[str, Any]) -> str:
    """A paired difference in points, called a tie where its interval holds zero."""
    verdict = ": a tie" if row["tie"] else ""
    return f"{row['method']} - {row['against']}: {points(row['difference'])} points, paired 95 % interval {interval(row['ci95'])}{verdict}"
