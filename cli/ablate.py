"""`xmap ablate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xmap.cli.console import interval, points, show
from xmap.cli.formats import Sheet, rows_of
from xmap.cli.progress import progress_on_stderr
from xmap.cli.results import explained, marks_of
from xmap.cli.settings import Settings, with_settings
from xmap.cli.tables import print_table

if TYPE_CHECKING:
    from xmap.pipeline.studies.ablate import Result

MEASURED = "measured on the whole validation split with fixed settings, never on test; seeds averaged"


# What is ablated is XMAdapter, with fixed settings.
@partial(with_settings, without=("methods", "protocol"))
def command(
    settings: Settings,
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Ablations; default all.", show_default=False)] = None,
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="Where tables (Parquet) and figures (SVG) go.")] = "ablations",
    listed: Annotated[bool, typer.Option("--list", help="Say which ablations there are.")] = False,
) -> None:
    """Vary one part of XMAdapter at a time and measure what it does, on validation samples.

    Example: xmap ablate gamma shots --features digits --shots 16
    """
    from xmap.stages.ablate.variants import ABLATIONS, HARD_QUESTION, HARD_SAMPLES, ablations_of

    if listed:
        questions = {**{name: entry.question for name, entry in ABLATIONS.items()}, HARD_SAMPLES: HARD_QUESTION}
        settings.destination.write(Sheet({"name": list(questions), "question": list(questions.values())}))
        return
    from xmap.pipeline.studies.ablate import ablate

    asked = ablations_of(tuple(names or ()))
    with progress_on_stderr(settings.quiet) as progress:
        results = ablate(settings.store, settings.config, asked, Path(out), progress)
    rows = [row for result in results for row in _rows(result)]
    facts = {"measured": MEASURED, "ablations": [_facts(result) for result in results]}
    settings.destination.write(Sheet(rows_of(rows), _documented(results), facts=facts, show=partial(_print, results)))


def _rows(result: Result) -> list[dict[str, Any]]:
    """What was measured of one ablation, a row a variant or score."""
    measured = [{"ablation": result.name, **asdict(row), "verdict": row.verdict} for row in result.rows]
    return measured + [{"ablation": result.name, **asdict(row)} for row in result.found]


def _facts(result: Result) -> dict[str, Any]:
    facts = {**asdict(result), "files": [str(path) for path in result.files]}
    facts["rows"] = [{**asdict(row), "verdict": row.verdict} for row in result.rows]
    return facts


def _documented(results: Sequence[Result]) -> dict[str, list[str]]:
    """All ablations as one table for documents: what is asked, each variant or score, and what was measured."""
    rows: list[dict[str, str]] = []
    for result in results:
        columns, cells = _table(result, dict.fromkeys(_kinds(result), ""))
        rows += [{"ablation": result.name, "variant": cell[0], **dict(zip(columns[1:], cell[1:], strict=True))} for cell in cells]
    return {name: [text or "" for text in column] for name, column in rows_of(rows).items()}


def _kinds(result: Result) -> list[str]:
    return [row.ci_kind for row in result.rows] + [row.ci_kind for row in result.found]


def _print(results: Sequence[Result]) -> None:
    for result in results:
        _print_one(result)
    show(MEASURED)


def _print_one(result: Result) -> None:
    show(f"{result.name}: {result.question}")
    marks = marks_of([{"ci_kind": kind} for kind in _kinds(result)])
    columns, rows = _table(result, marks)
    if result.rows and not result.found:
        show(f"{result.rows[0].samples:,} validation samples, seeds: {result.rows[0].seeds}")
    print_table(columns, rows, right=columns[2:] if result.found else columns[1:-1], spare=("95 % interval", "samples", "wrong"))
    if marks:
        show(f"intervals: {explained(marks)}")
    for line in result.left_out:
        show(f"left out: {line}")
    show(f"written: {', '.join(str(path) for path in result.files) or 'nothing'}")
    typer.echo("")


def _table(result: Result, marks: Mapping[str, str]) -> tuple[Sequence[str], list[tuple[str, ...]]]:
    """Columns and rows for people; each interval has the mark of its kind."""
    if result.found:
        return ("score", "finds errors of", "AUROC", "95 % interval", "wrong", "samples"), [
            (
                row.score,
                row.errors,
                f"{row.auroc:.3f}",
                f"[{row.low:.3f}, {row.high:.3f}]{marks[row.ci_kind]}",
                f"{row.wrong:,}",
                f"{row.samples:,}",
            )
            for row in result.found
        ]
    return (result.axis, "accuracy %", "95 % interval", "against the default", "95 % interval of that", "verdict"), [
        (
            row.variant,
            f"{row.accuracy:.2f}",
            f"{interval((row.low, row.high))}{marks[row.ci_kind]}",
            "" if row.default else points(row.difference),
            "" if row.default else f"{interval((row.difference_low, row.difference_high))}{marks[row.ci_kind]}",
            row.verdict,
        )
        for row in result.rows
    ]
