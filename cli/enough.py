"""`xmap enough`."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from xmap.cli.console import interval, number, points, print_json, show
from xmap.cli.options import Settings, with_settings
from xmap.cli.progress import progress_on_stderr
from xmap.cli.tables import print_table

if TYPE_CHECKING:
    from xmap.stages.enough.study import Study

SHOWN = 8
INTERVAL = "95 % interval"
MEASURED = "measured on validation samples that chose nothing, never on test; intervals over samples and supports"


# Supports grow by themselves, and samples that choose nothing are there under one protocol alone.
@partial(with_settings, without=("methods", "protocol", "shots", "short"))
def command(
    settings: Settings,
    method: Annotated[str, typer.Option("--method", "--methods", metavar="METHOD", help="The method to train.")] = "xmadapter",
    most: Annotated[int, typer.Option("--most", min=2, metavar="N", help="The most training images a class to try.")] = 64,
) -> None:
    """Have I labelled enough? Train at growing supports, and say what twice the labels would bring, and for which classes.

    Example: xmap enough --data pets --seeds 1,2,3,4,5
    """
    from xmap.pipeline.studies.enough import enough

    with progress_on_stderr(settings.quiet) as progress:
        found = enough(settings.store, settings.config, method, most, progress, settings.rehash)
    if settings.json:
        print_json({**asdict(found), "measured": MEASURED})
    else:
        _print(found)


def _print(found: Study) -> None:
    show(f"{found.method} on {found.points[-1].samples:,} validation samples, seeds: {found.points[-1].seeds}")
    doubled = found.doubled
    rows = [(row.shots, f"{row.labels:,}", f"{row.accuracy:.2f}", interval((row.low, row.high))) for row in found.points]
    foretold = ("foretold", f"{doubled.labels:,}", f"{doubled.accuracy:.2f}", interval((doubled.low, doubled.high)))
    columns = ("shots", "labels", "accuracy %", INTERVAL)
    print_table(columns, [*rows, foretold], right=columns)
    _print_classes(found)
    show(MEASURED)
    if doubled.gain > 0 and doubled.accuracy < found.points[-1].accuracy:
        there = f"{doubled.accuracy - doubled.gain:.1f}"
        show(f"the last measured value lies above the curve, by chance; gains count from the curve, which is at {there} there")
    show(found.verdict)


def _print_classes(found: Study) -> None:
    before, after = (point.shots for point in found.points[-2:])
    columns = ("class", "samples", f"recall % at {before}", f"at {after}", "rise", f"{INTERVAL} of that", "verdict")
    rows = [
        (
            row.name,
            row.samples,
            number(row.before, 1),
            number(row.recall, 1),
            "" if row.rise is None else points(row.rise),
            "" if row.low is None else interval((row.low, row.high)),
            row.verdict,
        )
        for row in found.classes[:SHOWN]
    ]
    print_table(columns, rows, right=columns[1:-1], spare=("samples", columns[2]))
    if len(found.classes) > SHOWN:
        show(f"{SHOWN} of {len(found.classes)} classes, those first that more labels would help; --json has all")
