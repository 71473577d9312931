"""`xmap enough`."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from xmap.cli.console import interval, number, points, show
from xmap.cli.formats import Sheet, rows_of
from xmap.cli.options import one
from xmap.cli.progress import progress_on_stderr
from xmap.cli.settings import Settings, with_settings
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
    method: Annotated[
        str, typer.Option("--method", "--methods", metavar="METHOD", callback=one, help="The method to train.")
    ] = "xmadapter",
    most: Annotated[int, typer.Option("--most", min=2, metavar="N", help="The most training images a class to try.")] = 64,
) -> None:
    """Have I labelled enough? Train at growing supports, and say what twice the labels would bring, and for which classes.

    Example: xmap enough --data pets --seeds 1,2,3,4,5
    """
    from xmap.pipeline.studies.enough import enough

    with progress_on_stderr(settings.quiet) as progress:
        found = enough(settings.store, settings.config, method, most, progress, settings.rehash)
    settings.destination.write(_sheet(found))


def _sheet(found: Study) -> Sheet:
    """The points that were measured and the one that is foretold, in every format; tables for people have the classes too."""
    doubled, last = found.doubled, found.points[-1]
    foretold = {"labels": doubled.labels, "accuracy": doubled.accuracy, "low": doubled.low, "high": doubled.high}
    rows = [{"method": found.method, **asdict(point), "foretold": False} for point in found.points]
    rows.append({"method": found.method, "seeds": last.seeds, **foretold, "foretold": True})
    columns = ("shots", "labels", "accuracy %", INTERVAL)
    texts = dict(zip(columns, zip(*_points(found), strict=True), strict=True))
    return Sheet(rows_of(rows), texts, columns, {**asdict(found), "measured": MEASURED}, partial(_print, found))


def _points(found: Study) -> list[tuple[str, ...]]:
    doubled = found.doubled
    measured = [(str(row.shots), f"{row.labels:,}", f"{row.accuracy:.2f}", interval((row.low, row.high))) for row in found.points]
    return [*measured, ("foretold", f"{doubled.labels:,}", f"{doubled.accuracy:.2f}", interval((doubled.low, doubled.high)))]


def _print(found: Study) -> None:
    show(f"{found.method} on {found.points[-1].samples:,} validation samples, seeds: {found.points[-1].seeds}")
    doubled = found.doubled
    columns = ("shots", "labels", "accuracy %", INTERVAL)
    print_table(columns, _points(found), right=columns)
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
