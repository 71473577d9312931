"""`xmap ablate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xmap.cli.console import interval, points, print_json, show
from xmap.cli.options import Settings, with_settings
from xmap.cli.progress import progress_on_stderr
from xmap.cli.results import explained, marks_of
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
        _list(questions, settings.json)
        return
    from xmap.pipeline.studies.ablate import ablate

    asked = ablations_of(tuple(names or ()))
    with progress_on_stderr(settings.quiet) as progress:
        results = ablate(settings.store, settings.config, asked, Path(out), progress)
    if settings.json:
        print_json({"measured": MEASURED, "ablations": [_facts(result) for result in results]})
    else:
        for result in results:
            _print(result)
        show(MEASURED)


def _list(questions: dict[str, str], json: bool) -> None:
    if json:
        print_json([{"name": name, "question": question} for name, question in questions.items()])
    else:
        print_table(("name", "question"), list(questions.items()))


def _facts(result: Result) -> dict[str, Any]:
    facts = {**asdict(result), "files": [str(path) for path in result.files]}
    facts["rows"] = [{**asdict(row), "verdict": row.verdict} for row in result.rows]
    return facts


def _print(result: Result) -> None:
    show(f"{result.name}: {result.question}")
    kinds = [row.ci_kind for row in result.rows] + [row.ci_kind for row in result.found]
    marks = marks_of([{"ci_kind": kind} for kind in kinds])
    if result.found:
        columns: Sequence[str] = ("score", "finds errors of", "AUROC", "95 % interval", "wrong", "samples")
        rows = [
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
    else:
        columns = (result.axis, "accuracy %", "95 % interval", "against the default", "95 % interval of that", "verdict")
        rows = [
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
        if result.rows:
            show(f"{result.rows[0].samples:,} validation samples, seeds: {result.rows[0].seeds}")
    print_table(columns, rows, right=columns[2:] if result.found else columns[1:-1], spare=("95 % interval", "samples", "wrong"))
    if marks:
        show(f"intervals: {explained(marks)}")
    for line in result.left_out:
        show(f"left out: {line}")
    show(f"written: {', '.join(str(path) for path in result.files) or 'nothing'}")
    typer.echo("")
