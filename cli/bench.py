"""`xmap bench`."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xmap.cli.console import warn
from xmap.cli.ends import FOUND, WRONG
from xmap.cli.formats import Sheet, rows_of
from xmap.cli.grid import PROTOCOLS, print_grids, wide
from xmap.cli.progress import outcome_line, progress_on_stderr
from xmap.cli.results import plain_row, shots_of
from xmap.cli.settings import Settings, with_settings
from xmap.pipeline.studies.grid import GridConfig
from xmap.pipeline.studies.jobs import jobs_of
from xmap.pipeline.studies.learning import picture, picture_file

if TYPE_CHECKING:
    from xmap.pipeline.studies.bench import BenchResult, Cell


@partial(with_settings, study=GridConfig)
def command(
    settings: Settings,
    grid: GridConfig,
    drawn: Annotated[
        str, typer.Option("--picture", metavar="FILE.svg", help="Also draw accuracy against shots, a line a method.", show_default=False)
    ] = "",
) -> None:
    """Run datasets x shots x seeds x methods, reusing what there is, and print the grid beside published numbers.

    With --data in place of --datasets or --features the grid is that of your own images. A dataset that fails is reported and the
    others go on; the exit code is then 1, and 2 where none is left.

    Example: xmap bench --datasets dtd,eurosat --root benchmarks --shots 1,16
    """
    from xmap.pipeline.studies.bench import bench

    target = picture_file(drawn) if drawn else None
    jobs = jobs_of(settings.config, grid)
    with progress_on_stderr(settings.quiet) as progress:
        progress.start("looking at images and model", 1)
        counts = sorted(grid.shots)
        result = bench(settings.store, jobs, counts, progress, lambda outcome: progress.say(outcome_line(outcome)), settings.rehash)
    settings.destination.write(_sheet(result, settings.config.run.protocol))
    if target and result.cells:
        shown = [(cell.title, row) for cell in result.cells for row in cell.results]
        target.write(picture(shown, PROTOCOLS[settings.config.run.protocol]).encode())
    for failure in result.failures if settings.quiet else ():
        warn(f"{failure.place} failed: {failure.message}")
    if result.failures:
        raise typer.Exit(FOUND if result.cells else WRONG)


def _sheet(result: BenchResult, protocol: str) -> Sheet:
    """The grid in every format: for programs a row a cell and method, for documents a row a method."""
    rows = [{"dataset": cell.dataset} | plain_row(row) for cell in result.cells for row in cell.results]
    texts, right = wide(result.cells)
    return Sheet(rows_of(rows), texts, right, _answer(result, protocol), partial(print_grids, result, protocol))


def _cell(cell: Cell) -> dict[str, Any]:
    return {**vars(cell), "evaluation": cell.evaluation and cell.evaluation.model_dump()}


def _answer(result: BenchResult, protocol: str) -> dict[str, Any]:
    from xmap.pipeline.run.answer import BenchAnswer
    from xmap.pipeline.studies.bench import against_ours
    from xmap.pipeline.studies.published import BACKBONE, published

    cells, only = result.cells, result.cells[0] if len(result.cells) == 1 else None
    beside = {
        name: [{**asdict(row.source), "backbone": BACKBONE, "accuracy": row.accuracy} for row in rows]
        for name in dict.fromkeys(cell.benchmark for cell in cells)
        if (rows := published(name))
    }
    same = len({cell.dataset for cell in cells}) == 1
    answer = BenchAnswer(
        evaluation=only.evaluation if only else None,
        dataset=cells[0].dataset if same else None,
        model=cells[0].model if len({cell.model for cell in cells}) == 1 else None,
        classes=cells[0].classes if same else (),
        results=[{"dataset": cell.dataset, **row} for cell in cells for row in cell.results],
        differences=[{"dataset": cell.dataset, "shots": cell.shots, **row} for cell in cells for row in cell.differences],
        warnings=[f"{cell.title}, {shots_of(cell.shots)}: {line}" for cell in cells for line in cell.warnings],
        protocol=PROTOCOLS[protocol],
        cells=[{**_cell(cell), "against_xmadapter": against_ours(cell.differences)} for cell in cells],
        published=beside,
        failures=[asdict(failure) for failure in result.failures],
    )
    return answer.model_dump(mode="json")
