"""What the commands that do stages share: run the plan, say each outcome on stderr, put the data on stdout."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict

from xmap.cli.columns import require_columns
from xmap.cli.console import print_json, warn
from xmap.cli.formats import Destination
from xmap.cli.options import Settings
from xmap.cli.progress import outcome_line, progress_on_stderr
from xmap.cli.results import results_sheet
from xmap.pipeline.run.answer import answer_of
from xmap.pipeline.run.execute import RunResult, run
from xmap.stages.names import IMAGES


def work(settings: Settings, build: Collection[str]) -> None:
    """Build the stages `build` and say what there is of them."""
    result = _run(settings, build)
    if settings.json:
        changes = {IMAGES: {"changes": result.changes.facts()}} if result.changes else {}
        places = (str(result.artifacts[outcome.fingerprint].path) for outcome in result.outcomes)
        rows = zip(result.outcomes, places, strict=True)
        print_json([{**asdict(outcome), "path": path, **changes.get(outcome.stage, {})} for outcome, path in rows])


def evaluate(settings: Settings, build: Collection[str], form: str, output: str, columns: str) -> None:
    """Build the stages `build`, of which the last is the evaluation, and show it; warnings on stderr in every format."""
    destination = Destination(form, output, settings.json)
    require_columns(columns)
    result = _run(settings, build)
    said = answer_of(result)
    destination.write(results_sheet(said.results, said.differences, said.model_dump(mode="json"), columns))
    for line in result.warnings:
        warn(f"warning: {line}")


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
