"""`xmap status`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any

from xmap.cli.console import show, size
from xmap.cli.formats import Sheet, rows_of
from xmap.cli.progress import outcome_line
from xmap.cli.settings import Settings, with_settings
from xmap.cli.tables import print_table
from xmap.pipeline.run.answer import Answer, StatusAnswer, answer
from xmap.pipeline.run.data_changes import DataChanges, data_changes
from xmap.pipeline.run.execute import StepOutcome, preview
from xmap.pipeline.run.made_with import made_with
from xmap.pipeline.run.plan import make_plan
from xmap.pipeline.upkeep.collect import bytes_of
from xmap.pipeline.upkeep.lineage import Lineage
from xmap.stages.names import EVAL
from xmap.store.artifacts.artifact import Artifact
from xmap.store.artifacts.fingerprint import SHORT
from xmap.store.artifacts.locks import SHARED
from xmap.store.errors import XmapError

WITH = "made with"
COLUMNS = ("artifact", "name", WITH, "state", "made", "fingerprint", "size")
FORK, LAST, DOWN, GAP = "├─ ", "└─ ", "│  ", "   "
CURRENT, OLDER = "current", "older"


@partial(with_settings, stored=True)
def command(settings: Settings) -> None:
    """Show the artifacts of the store as a tree of what came from what, and what `xmap run` would reuse or build, and why.

    What a run with the present settings uses is called current; where they name no images, the newest of each name is. An evaluation
    hangs below the images it scored; `xmap show` lists all that an artifact was made from.

    Example: xmap status --data pets --shots 8
    """
    survey = settings.store.survey()
    lineage, damaged = Lineage.of(survey.artifacts), [str(error) for error in survey.damaged.values()]
    steps, changes, remark = _plan(settings)
    states = states_of(lineage.artifacts, {step.fingerprint for step in steps})
    rows = [_facts(found, lineage, states) for found in lineage.artifacts]
    said = StatusAnswer(
        **{**dict(_answer(lineage.artifacts, states)), "changes": changes.facts() if changes else None},
        artifacts=rows,
        damaged=damaged,
        plan=[asdict(step) for step in steps],
        remark=remark,
    )
    shared = bytes_of(settings.store.root / SHARED)
    features = f", and {size(shared)} of features that they share" if shared else ""
    footer = [f"{len(rows)} artifacts in {settings.store.root}, {size(sum(map(_bytes, lineage.artifacts)))}{features}", *damaged]
    footer += [f"a run cannot be planned: {remark}"] * bool(remark) + [str(changes)] * bool(changes)
    footer += [_future(step) for step in steps]
    shown = partial(_print, lineage, states, footer)
    settings.destination.write(Sheet(rows_of(rows), facts=said.model_dump(mode="json"), show=shown))


def states_of(artifacts: Sequence[Artifact], planned: Collection[str]) -> dict[str, str]:
    """For each artifact (oldest first), by fingerprint: current, older than another of its name, or neither."""
    newest = {(artifact.stage, artifact.name): artifact.fingerprint for artifact in artifacts}
    last = set(newest.values())
    current = planned or last
    return {
        artifact.fingerprint: CURRENT if artifact.fingerprint in current else "" if artifact.fingerprint in last else OLDER
        for artifact in artifacts
    }


def _answer(artifacts: Sequence[Artifact], states: dict[str, str]) -> Answer:
    """What the current evaluation says, else the newest one."""
    evaluations = [artifact for artifact in artifacts if artifact.stage == EVAL]
    current = [artifact for artifact in evaluations if states[artifact.fingerprint] == CURRENT]
    return answer((current or evaluations)[-1], artifacts) if evaluations else Answer()


def _print(lineage: Lineage, states: dict[str, str], footer: Sequence[str]) -> None:
    rows = list(_tree(lineage, states, None, ""))
    shown = [place for place, name in enumerate(COLUMNS) if name != WITH or any(row[place] for row in rows)]
    cells = [[row[place] for place in shown] for row in rows]
    print_table([COLUMNS[place] for place in shown], cells, right=COLUMNS[-1:], spare=("size", "fingerprint", WITH), paths=("name",))
    for line in footer:
        show(line)


def _tree(lineage: Lineage, states: dict[str, str], parent: Artifact | None, indent: str) -> Iterator[tuple[str, ...]]:
    """Rows of what came from `parent`, each followed by what came from it."""
    children = lineage.children(parent)
    for artifact in children:
        last = artifact is children[-1]
        branch, below = ("", "") if parent is None else (LAST, GAP) if last else (FORK, DOWN)
        made = datetime.fromisoformat(artifact.manifest["created"]).astimezone()
        facts = (
            artifact.name,
            "; ".join(made_with(artifact, lineage.by_print)),
            states[artifact.fingerprint],
            f"{made:%Y-%m-%d %H:%M}",
            artifact.fingerprint[:SHORT],
            size(_bytes(artifact)),
        )
        yield f"{indent}{branch}{artifact.stage}", *facts
        yield from _tree(lineage, states, artifact, indent + below)


def _plan(settings: Settings) -> tuple[list[StepOutcome], DataChanges | None, str]:
    """What a run would do and what changed in the data, or why that cannot be told; nothing where no images are named."""
    config = settings.config
    if not (config.data.data or config.run.features):
        return [], None, ""
    try:
        plan = make_plan(settings.store, config, rehash=settings.rehash)
        return preview(settings.store, plan), data_changes(settings.store, plan.steps[0].identity, plan.dataset, plan.at_hand), ""
    except XmapError as error:
        return [], None, str(error)


def _future(step: StepOutcome) -> str:
    line = outcome_line(step)
    if step.state == "reused":
        return line.replace("reused", "would reuse", 1)
    return line.replace("built ", "would build", 1).replace(" in 0.0 s", "")


def _facts(artifact: Artifact, lineage: Lineage, states: dict[str, str]) -> dict[str, Any]:
    facts = {key: artifact.manifest[key] for key in ("stage", "name", "fingerprint", "created", "seconds", "device", "command")} | {
        "used": artifact.used
    }
    made_from = [parent.fingerprint for parent in lineage.parents(artifact)]
    place = {"bytes": _bytes(artifact), "path": str(artifact.path), "made_from": made_from}
    return {**facts, "state": states[artifact.fingerprint], "made_with": made_with(artifact, lineage.by_print), **place}


def _bytes(artifact: Artifact) -> int:
    return sum(int(entry["size"]) for entry in artifact.manifest["files"])
