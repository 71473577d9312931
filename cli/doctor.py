"""`xmap doctor`."""

from __future__ import annotations

from dataclasses import asdict

import typer

from cli.console import plain, print_json
from cli.ends import FOUND
from cli.options import Settings, with_settings
from pipeline.doctor import Finding, examine


@with_settings
def command(settings: Settings) -> None:
    """Try Python, the packages, torch with faiss, GPUs, the model, the disk and the store; exit code 1 where one is broken.

    Nothing is downloaded and nothing is written. Each line that is not ok says how to mend it.

    Example: xmap doctor --model xmap-tiny
    """
    findings = []
    for finding in examine(settings.store, settings.config):
        findings.append(finding)
        if not settings.json:
            typer.echo(plain(_line(finding)))
    if settings.json:
        print_json([asdict(finding) for finding in findings])
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(FOUND)


def _line(finding: Finding) -> str:
    remedy = f"; {finding.remedy}" if finding.remedy else ""
    return f"{finding.state:7}  {finding.part}: {finding.found}{remedy}"
