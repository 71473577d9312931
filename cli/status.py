"""`xmap status`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import typer

from cli.options import Settings, with_settings
from cli.show import duration, outcome_line, plain, print_json, print_table, size
from pipeline.plan import make_plan
from pipeline.run import StepOutcome, preview
from store.artifact import Artifact
from store.errors import XmapError
from store.fingerprint import SHORT


@with_settings
def command(settings: Settings) -> None:
    """Show the artifacts of the store, and what `xmap run` would reuse or build."""
    survey = settings.store.survey()
    artifacts, damaged = survey.artifacts, [str(error) for error in survey.damaged.values()]
    steps, remark = _plan(settings)
    if settings.json:
        facts, plan = [_facts(found) for found in artifacts], [asdict(step) for step in steps]
        print_json({"artifacts": facts, "damaged": damaged, "plan": plan, "remark": remark})
        return
    columns = ("stage", "name", "fingerprint", "size", "age")
    print_table(columns, [_row(found) for found in artifacts], right=("size", "age"))
    typer.echo(f"{len(artifacts)} artifacts in {settings.store.root}, {size(sum(_bytes(found) for found in artifacts))}")
    for damage in damaged:
        typer.echo(plain(damage))
    if remark:
        typer.echo(f"a run cannot be planned: {plain(remark)}")
    for step in steps:
        typer.echo(_future(step))


def _plan(settings: Settings) -> tuple[list[StepOutcome], str]:
    try:
        return preview(settings.store, make_plan(settings.store, settings.config, rehash=settings.rehash)), ""
    except XmapError as error:
        return [], str(error)


def _future(step: StepOutcome) -> str:
    line = outcome_line(step)
    if step.state == "reused":
        return line.replace("reused", "would reuse", 1)
    return line.replace("built ", "would build", 1).replace(" in 0.0 s", "")


def _facts(artifact: Artifact) -> dict[str, Any]:
    facts = {key: artifact.manifest[key] for key in ("stage", "name", "fingerprint", "created", "seconds", "device", "command")}
    return {**facts, "bytes": _bytes(artifact), "path": str(artifact.path)}


def _row(artifact: Artifact) -> tuple[str, ...]:
    age = datetime.now(UTC) - datetime.fromisoformat(artifact.manifest["created"])
    return artifact.stage, artifact.name, artifact.fingerprint[:SHORT], size(_bytes(artifact)), duration(age.total_seconds())


def _bytes(artifact: Artifact) -> int:
    return sum(int(entry["size"]) for entry in artifact.manifest["files"])
