"""`xmap doctor`."""

from __future__ import annotations

import sys
from dataclasses import asdict

import typer

from xmap.cli.console import marked, plain
from xmap.cli.ends import FOUND
from xmap.cli.formats import Sheet, rows_of
from xmap.cli.progress import progress_on_stderr
from xmap.cli.settings import Settings, with_settings
from xmap.pipeline.upkeep.doctor import Finding, checks

COLOURS = {"ok": "green", "note": "yellow", "problem": "red"}


@with_settings
def command(settings: Settings) -> None:
    """Try Python, the packages, torch with faiss, GPUs, the model, the disk and the store; exit code 1 where one is broken.

    Nothing is downloaded and nothing is written. Each line that is not ok says how to mend it.

    Example: xmap doctor --model xmap-tiny
    """
    # Each is shown as soon as it is known, where they are for people.
    findings: list[Finding] = []
    printed = not settings.destination.asked
    for what, look in checks(settings.store, settings.config):
        with progress_on_stderr(settings.quiet or not printed) as progress:
            progress.start(f"trying {what}", 1)
            found = look()
        findings += found
        for finding in found if printed else ():
            typer.echo(marked(plain(_line(finding)), finding.state, COLOURS[finding.state], sys.stdout))
    if not printed:
        settings.destination.write(Sheet(rows_of([asdict(finding) for finding in findings])))
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(FOUND)


def _line(finding: Finding) -> str:
    remedy = f"; {finding.remedy}" if finding.remedy else ""
    return f"{finding.state:7}  {finding.part}: {finding.found}{remedy}"
