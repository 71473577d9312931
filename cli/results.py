"""Methods side by side: accuracy with its interval, what it cost, and how each two differ on the same samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from xmap.cli.columns import INTERVAL, Column, chosen_columns, uneven
from xmap.cli.console import interval, number, points, show, size
from xmap.cli.formats import Sheet, rows_of
from xmap.cli.tables import print_table

# Of equal width: what they stand behind stays aligned.
MARKS = (" ", "*", "+")
Rows = Sequence[Mapping[str, Any]]
# The columns of a plain row before and after the ends of the interval.
BEFORE = ("method", "shots", "accuracy_mean")
AFTER = (
    "ci_kind", "top5_mean", "ece_mean", "raw_ece_mean", "log_loss_mean", "raw_log_loss_mean", "brier_mean", "aurc_mean",
    "balanced_accuracy_mean", "macro_f1_mean", "coverage_mean", "coverage_promised", "set_size_mean", "single_share", "worst_coverage",
    "largest_share", "selected_on", "calibrated_on", "sets_by", "trials", "trainable_parameters",
    "train_seconds", "peak_bytes", "ms_per_query", "stored_bytes", "text", "pool",
)  # fmt: skip


def results_sheet(results: Rows, differences: Rows, facts: Mapping[str, Any], columns: str = "") -> Sheet:
    """An evaluation in every format; `columns` are those that people see, by name."""
    chosen = chosen_columns(columns, results)
    shown, right = _shown(results, chosen, {}), _right(chosen)
    if INTERVAL in chosen:
        shown["interval"] = [str(row["ci_kind"]) for row in results]
    show_all = partial(print_results, results, differences, columns, facts["made_with"])
    return Sheet(rows_of([plain_row(row) for row in results]), shown, right, facts, show_all)


def plain_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """One method's results in columns of one value each, named as the view `runs` names them."""
    ends = (("accuracy", row["accuracy_ci95"]), ("coverage", row.get("coverage_ci95") or (None, None)))
    accuracy, coverage = ({f"{name}_low": low, f"{name}_high": high} for name, (low, high) in ends)
    return {name: row.get(name) for name in BEFORE} | accuracy | {name: row.get(name) for name in AFTER} | coverage


def print_results(results: Rows, differences: Rows, columns: str = "", made_with: Sequence[str] = ()) -> None:
    """Methods side by side with their intervals, what they were made with, what they cost, and how they differ on the same samples."""
    chosen = chosen_columns(columns, results)
    shown = _shown(results, chosen, marks_of(results))
    spare = [column.title for column in reversed(chosen.values()) if column.spare]
    print_table(list(shown), list(zip(*shown.values(), strict=True)), right=_right(chosen), spare=spare, best=best_of(results))
    if uneven(results):
        show(f"the largest class has {results[0]['largest_share']:.1f} % of the test images: naming it always would be right as often")
    if results:
        seeds = ", ".join(str(seed) for seed in results[0]["seeds"])
        show(f"{shots_of(results[0]['shots'])}; seeds {seeds}; intervals: {explained(marks_of(results))}")
        if made_with:
            show(f"made with {'; '.join(made_with)}")
        print_costs(results)
    marks = marks_of(differences)
    for row in differences:
        show(difference_line(row, marks))
    if differences:
        show(f"paired intervals: {explained(marks)}")
    for row in results:
        if row.get("edges"):
            show(f"{row['method']}: the choice of {', '.join(row['edges'])} lies at the edge of its grid.")


def _shown(results: Rows, columns: Mapping[str, Column], marks: Mapping[str, str]) -> dict[str, list[str]]:
    """The cells of each column under its title; intervals carry the sign of their kind."""
    cells = {column.title: [column.cell(row) for row in results] for column in columns.values()}
    if INTERVAL in columns:
        title = columns[INTERVAL].title
        cells[title] = [f"{cell}{marks.get(row['ci_kind'], '')}" for cell, row in zip(cells[title], results, strict=True)]
    return cells


def _right(columns: Mapping[str, Column]) -> list[str]:
    return [column.title for column in columns.values() if not column.words]


def shots_of(count: int) -> str:
    """A number of shots in words."""
    return "1 shot" if count == 1 else f"{count} shots"


def best_of(results: Rows) -> list[int]:
    """The places of the most accurate of several methods."""
    most = max((row["accuracy_mean"] for row in results), default=None)
    return [place for place, row in enumerate(results) if row["accuracy_mean"] == most and len(results) > 1]


def marks_of(results: Rows) -> dict[str, str]:
    """A sign for each kind of interval, none for the usual one, so that a column of two kinds says which is which."""
    kinds = [str(kind) for kind, _ in Counter(map(kind_of, results)).most_common()]
    signs = MARKS if len(kinds) > 1 else ("",)
    return dict(zip(kinds, signs, strict=False))


def explained(marks: Mapping[str, str]) -> str:
    """What the signs of `marks_of` stand for."""
    return "; ".join(f"{mark.strip()} {kind}".strip() for kind, mark in marks.items())


def print_costs(results: Rows) -> None:
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


def difference_line(row: Mapping[str, Any], marks: Mapping[str, str]) -> str:
    """A paired difference in points with the sign of its interval's kind, called a tie where that holds zero."""
    between = f"{interval(row['ci95'])}{marks[kind_of(row)].strip()}"
    verdict = ": a tie" if row["tie"] else ""
    return f"{row['method']} - {row['against']}: {points(row['difference'])} points, paired 95 % interval {between}{verdict}"


def kind_of(row: Mapping[str, Any]) -> str:
    """What an interval is over; differences of earlier versions say nothing, and were over test samples."""
    return str(row.get("ci_kind", "bootstrap over test samples"))
