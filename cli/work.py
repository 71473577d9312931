"""What the commands that do stages share: run the plan, say each outcome on stderr, put the data on stdout."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from xmap.cli.columns import require_columns
from xmap.cli.console import show, warn
from xmap.cli.formats import Sheet, rows_of
from xmap.cli.progress import outcome_line, progress_on_stderr
from xmap.cli.results import results_sheet
from xmap.cli.settings import Settings
from xmap.cli.tables import print_table
from xmap.pipeline.run.answer import answer_of
from xmap.pipeline.run.execute import RunResult, run
from xmap.stages.names import IMAGES


def work(settings: Settings, build: Collection[str]) -> None:
    """Build the stages `build` and say what there is of them."""
    result = _run(settings, build)
    if settings.destination.asked:
        changes = {IMAGES: {"changes": result.changes.facts()}} if result.changes else {}
        places = (str(result.artifacts[outcome.fingerprint].path) for outcome in result.outcomes)
        pairs = zip(result.outcomes, places, strict=True)
        rows = [{**asdict(outcome), "path": path, **changes.get(outcome.stage, {})} for outcome, path in pairs]
        settings.destination.write(Sheet(rows_of(rows), facts=rows))


def evaluate(settings: Settings, build: Collection[str], columns: str, unknown: str = "") -> None:
    """Build the stages `build`, of which the last is the evaluation, and show it; warnings on stderr in every format."""
    require_columns(columns)
    if unknown:
        from xmap.pipeline.adapters.given_images import require_there

        require_there([unknown])
    result = _run(settings, build)
    said = answer_of(result)
    if unknown:
        said = said.model_copy(update={"unknown": _told(settings, result, unknown)})
    sheet = results_sheet(said.results, said.differences, said.model_dump(mode="json"), columns)
    settings.destination.write(replace(sheet, show=partial(_show_both, sheet.show, said.unknown)) if said.unknown else sheet)
    for line in result.warnings:
        warn(f"warning: {line}")


def _told(settings: Settings, result: RunResult, unknown: str) -> list[dict[str, Any]]:
    """How the images of a folder, which are of none of the classes, are told from the test images."""
    from xmap.pipeline.adapters.unknown import unknown_of

    if result.evaluation is None:
        return []
    with progress_on_stderr(settings.quiet) as progress:
        artifacts = list(result.artifacts.values())
        return unknown_of(settings.store, result.evaluation, artifacts, unknown, settings.config.run.device, progress)


def _show_both(results: Callable[[], None] | None, unknown: Sequence[Mapping[str, Any]]) -> None:
    """The evaluation, and how strange images are told."""
    if results:
        results()
    columns = ("method", "seed", "unknown images", "AUROC", "accepted %", "--reject 0.95 rejects %", "of test images %")
    names = ("auroc", "false_accepts", "rejected", "test_rejected")
    rows = [(row["method"], f"{row['seed']}", f"{row['images']:,}", *(f"{row[name]:.1f}" for name in names)) for row in unknown]
    print_table(columns, rows, right=columns[1:])
    show("accepted: of the unknown images, where 95 % of the test images are")


def _run(settings: Settings, build: Collection[str]) -> RunResult:
    with progress_on_stderr(settings.quiet) as progress:
        # Until there is something to count: hashing images and loading libraries take their time.
        progress.start("looking at images and model", 1)
        return run(
            settings.store,
            settings.config,
            progress,
            build,
            settings.rehash,
            report=lambda outcome: progress.say(outcome_line(outcome)) if outcome.stage in build else None,
        )
