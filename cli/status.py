"""`xmap status`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import typer

from cli.options import Settings, with_settings
from cli.show import duration, outcome_line, print_json, print_table, size
from pipeline.plan import make_plan
from pipeline.run import StepOutcome, preview
from store.artifact import Artifact
from store.errors import XmapError
from store.fingerprint import SHORT


@with_settings
def command(settings: Settings) -> None:
    """Show the artifacts of the store, and what `xmap run` would reuse or build."""
    artifacts = settings.store.artifacts()
    steps, remark = _plan(settings)
    if settings.json:
        print_json({"artifacts": [_facts(found) for found in artifacts], "plan": [asdict(step) for step in steps], "remark": remark})
        return
    columns = ("stage", "name", "fingerprint", "size", "age")
    print_table(columns, [_row(found) for found in artifacts], right=("size", "age"))
    typer.echo(f"{len(artifacts)} artifacts in {settings.store.root}, {size(sum(_bytes(found) for found in artifacts))}")
    if remark:
        typer.echo(f"a run cannot be planned: {remark}")
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
