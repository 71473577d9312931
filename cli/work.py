"""What the commands that do stages share: run the plan, say each outcome on stderr, put the data on stdout."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict

from cli.console import print_json, warn
from cli.options import Settings
from cli.progress import outcome_line, progress_on_stderr
from cli.results import print_results
from pipeline.run import RunResult, run
from stages.identities import EVAL


def work(settings: Settings, build: Collection[str]) -> None:
    """Build the stages `build` and show what came of it."""
    with progress_on_stderr(settings.quiet) as progress:
        result = run(
            settings.store,
            settings.config,
            progress,
            build,
            settings.rehash,
            report=lambda outcome: progress.say(outcome_line(outcome)) if outcome.stage in build else None,
        )
    if EVAL in build:
        show_results(result, settings.json)
    elif settings.json:
        print_json([{**asdict(outcome), "path": str(result.artifacts[outcome.fingerprint].path)} for outcome in result.outcomes])


def show_results(result: RunResult, as_json: bool) -> None:
    """The evaluation: JSON, or the table of methods; warnings on stderr either way."""
    if as_json:
        print_json(result.results)
    else:
        print_results(result.results, result.differences)
    for line in result.warnings:
        warn(f"warning: {line}")
