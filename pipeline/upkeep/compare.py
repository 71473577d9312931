"""How two artifacts differ: in the declared fields that made them, down to the first causes, and in what came out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from typing import Any

from xmap.pipeline.run.image_changes import ImageChanges, Listing, Seen, image_changes, stored_listing
from xmap.pipeline.upkeep.lineage import Lineage
from xmap.stages.names import IMAGES
from xmap.store.artifacts.artifact import Artifact
from xmap.store.artifacts.fingerprint import Change, Json, canonical, explain
from xmap.store.errors import InputError

# What differs between any two runs of the same thing: the clock and the process.
TIMES = ("train_seconds", "ms_per_query", "text_seconds", "peak_bytes")
LISTED = ("results", "differences", "classes")


@dataclass(frozen=True)
class Cause:
    """A field that differs, and in which artifact: the compared ones themselves, or inputs of theirs."""

    stage: str
    change: Change


@dataclass(frozen=True)
class Comparison:
    """`causes` are the fields that differ, in the artifacts and all they were made from; `results` what differs in their summaries.

    `images` says which images came, went or moved, where both were made from images whose names are at hand.
    """

    first: Artifact
    second: Artifact
    causes: tuple[Cause, ...]
    results: tuple[Change, ...]
    images: ImageChanges | None = None


def compare(first: Artifact, second: Artifact, lineage: Lineage) -> Comparison:
    """What differs between two artifacts of one stage. Raises `InputError` for two stages."""
    if first.stage != second.stage:
        raise InputError(f"{first.name!r} is of the stage {first.stage}, {second.name!r} of {second.stage}; compare two of one stage.")
    # Once each: the values may be lists, which cannot be keys themselves.
    found = {(cause.stage, canonical(astuple(cause.change))): cause for cause in _causes(first, second, lineage, frozenset())}
    return Comparison(
        first, second, tuple(found.values()), tuple(_told(_results(first), _results(second))), _image_changes(first, second, lineage)
    )


def _image_changes(first: Artifact, second: Artifact, lineage: Lineage) -> ImageChanges | None:
    before, after = (_images(found, lineage) for found in (first, second))
    return image_changes(before, after) if before and after else None


def _images(artifact: Artifact, lineage: Lineage) -> Listing | None:
    """The images that an artifact holds or was made from: of each extraction the splits that were used."""
    if artifact.stage == IMAGES:
        return stored_listing(artifact)
    found: dict[str, Seen] = {}
    known: dict[str, Listing | None] = {}
    queue, seen = [artifact], {artifact.fingerprint}
    for current in queue:
        for name, parent in lineage.inputs.get(current.fingerprint, {}).items():
            if parent is None:
                continue
            if parent.stage == IMAGES:
                used = [split for split, digest in dict(parent.summary.get("parts") or {}).items() if digest == current.inputs[name]]
                if parent.fingerprint not in known:
                    known[parent.fingerprint] = stored_listing(parent)
                listing = known[parent.fingerprint]
                if listing is None:
                    return None
                found |= {sample: where for sample, where in listing.items() if where.split in used}
            elif parent.fingerprint not in seen:
                seen.add(parent.fingerprint)
                queue.append(parent)
    return found


def _causes(first: Artifact, second: Artifact, lineage: Lineage, above: frozenset[str]) -> Iterator[Cause]:
    """Differing fields of both; an input that differs is explained by the fields of the artifact behind it, where that is there."""
    for change in _told(first.fields, second.fields):
        yield Cause(first.stage, change)
    mine, others = (lineage.inputs.get(found.fingerprint, {}) for found in (first, second))
    for name in sorted(first.inputs.keys() | second.inputs.keys()):
        before, after = first.inputs.get(name), second.inputs.get(name)
        if before == after:
            continue
        one, two = mine.get(name), others.get(name)
        # A part that is named as its own input would lead round in a circle.
        if one is not None and two is not None and one.fingerprint != two.fingerprint and one.fingerprint not in above:
            yield from _causes(one, two, lineage, above | {first.fingerprint})
        else:
            yield Cause(first.stage, Change(f"made from {name}", before, after))


def _told(before: Json, after: Json) -> list[Change]:
    """The fields in which two declarations differ, but for those that one has not and the other has as null: nobody sees a difference."""
    return [change for change in explain(before, after) if (change.before, change.after) != (None, None)]


def _results(artifact: Artifact) -> dict[str, Any]:
    """What came out, as nested values: the summary, an evaluation's results by method."""
    summary = artifact.summary
    found = {name: value for name, value in summary.items() if name not in (*LISTED, *TIMES, *artifact.fields)}
    rows = summary.get("results")
    for row in rows if isinstance(rows, list) else ():
        found[str(row.get("method", ""))] = {
            name: _rounded(value) for name, value in row.items() if name not in (*TIMES, "method", "per_class")
        }
    return found


def _rounded(value: Any) -> Any:
    """Numbers as people compare them: to four decimals."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, list):
        return [_rounded(entry) for entry in value]
    return {name: _rounded(entry) for name, entry in value.items()} if isinstance(value, Mapping) else value
