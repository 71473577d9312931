"""`xmap status`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import typer

from cli.console import duration, plain, print_json, size
from cli.options import Settings, with_settings
from cli.progress import outcome_line
from cli.tables import print_table
from pipeline.lineage import Lineage
from pipeline.plan import make_plan
from pipeline.run import StepOutcome, preview
from store.artifact import Artifact
from store.errors import XmapError
from store.fingerprint import SHORT

COLUMNS = ("artifact", "name", "fingerprint", "size", "age")
FORK, LAST, DOWN, GAP = "├─ ", "└─ ", "│  ", "   "


@with_settings
def command(settings: Settings) -> None:
    """Show the artifacts of the store as a tree of what came from what, and what `xmap run` would reuse or build, and why.

    An evaluation hangs below the images it scored; `xmap show` lists all that an artifact was made from.

    Example: xmap status --data pets --shots 8
    """
    survey = settings.store.survey()
    lineage, damaged = Lineage.of(survey.artifacts), [str(error) for error in survey.damaged.values()]
    steps, remark = _plan(settings)
    if settings.json:
        artifacts, plan = [_facts(found, lineage) for found in lineage.artifacts], [asdict(step) for step in steps]
        print_json({"artifacts": artifacts, "damaged": damaged, "plan": plan, "remark": remark})
        return
    print_table(COLUMNS, list(_tree(lineage, None, "")), right=COLUMNS[3:])
    typer.echo(f"{len(lineage.artifacts)} artifacts in {settings.store.root}, {size(sum(map(_bytes, lineage.artifacts)))}")
    for damage in damaged:
        typer.echo(plain(damage))
    if remark:
        typer.echo(f"a run cannot be planned: {plain(remark)}")
    for step in steps:
        typer.echo(_future(step))


def _tree(lineage: Lineage, parent: Artifact | None, indent: str) -> Iterator[tuple[str, ...]]:
    """Rows of what came from `parent`, each followed by what came from it."""
    children = lineage.children(parent)
    for artifact in children:
        last = artifact is children[-1]
        branch, below = ("", "") if parent is None else (LAST, GAP) if last else (FORK, DOWN)
        age = datetime.now(UTC) - datetime.fromisoformat(artifact.manifest["created"])
        facts = (artifact.name, artifact.fingerprint[:SHORT], size(_bytes(artifact)), duration(age.total_seconds()))
        yield f"{indent}{branch}{artifact.stage}", *facts
        yield from _tree(lineage, artifact, indent + below)


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


def _facts(artifact: Artifact, lineage: Lineage) -> dict[str, Any]:
    facts = {key: artifact.manifest[key] for key in ("stage", "name", "fingerprint", "created", "seconds", "device", "command")}
    made_from = [parent.fingerprint for parent in lineage.parents(artifact)]
    return {**facts, "bytes": _bytes(artifact), "path": str(artifact.path), "made_from": made_from}


def _bytes(artifact: Artifact) -> int:
    return sum(int(entry["size"]) for entry in artifact.manifest["files"])
