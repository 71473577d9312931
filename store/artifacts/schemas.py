"""What the manifests of each stage say: one declared schema a stage, checked when a manifest is read.

A seal shows that a manifest is as it was written, not who wrote it: another program can seal anything. So types, ranges and what must
agree are checked once, at the door, and nobody else has to. Facts may be absent, as earlier versions wrote fewer: `usable.py` asks for
those that using an artifact takes. What tables, indexes and tensors hold is checked where they are opened.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, TypeAdapter, ValidationError

from xmap.store.artifacts.summaries import Adapted, Answered, Cached, Evaluated, Fields, Images, Paired, Source, Stored, Texts, Tuned

# What an evaluation says of prediction sets all together, or not at all.
SETS = ("coverage_mean", "coverage_ci95", "set_size_mean", "single_share", "class_coverage", "worst_coverage")
# What is said of several encoders, one after the other.
ENCODERS = ("widths", "encoders", "seen")
FIXED, SHOTS = "support-", re.compile(r"support-[1-9][0-9]{0,8}")

Joined = TypeVar("Joined", Images, Cached)


def _agreeing(summary: Evaluated) -> Evaluated:
    """Whether the lists of an evaluation fit each other."""
    results = summary.get("results", [])
    methods = [row.get("method") for row in results]
    if len(set(methods)) < len(methods):
        raise ValueError("two results are of one method")
    if any(max(len(row.get("accuracies", [])), len(row.get("temperatures", []))) > len(row.get("seeds", [])) for row in results):
        raise ValueError("a result has more accuracies than seeds")
    by_class = (row.get(name) for row in results for name in ("per_class", "precision", "f1", "class_coverage", "class_samples"))
    if len({len(listed) for listed in by_class if isinstance(listed, list)}) > 1:
        raise ValueError("its results are of different classes")
    if any(0 < sum(row.get(name) is not None for name in SETS) < len(SETS) for row in results):
        raise ValueError("a result says a part of what its prediction sets are worth")
    if any({row["method"], row["against"]} - set(methods) for row in summary.get("differences", [])):
        raise ValueError("a difference is of a method without a result")
    return summary


def _placed(summary: Images) -> Images:
    """Whether the splits of image features fit each other."""
    if summary.keys() >= {"counts", "parts"} and not summary["counts"].keys() <= summary["parts"].keys():
        raise ValueError("it counts a split that is no part of it")
    if any(name.startswith(FIXED) and not SHOTS.fullmatch(name) for name in summary.get("parts", {})):
        raise ValueError("the name of a part has no number of shots")
    return summary


def _encoded(summary: Joined) -> Joined:
    """Whether what is said of several encoders is said of each of them."""
    if len({len(summary.get(name, ())) for name in ENCODERS}) > 1:  # type: ignore[arg-type]
        raise ValueError("it does not say of each encoder what it says of others")
    return summary


def _scaled(summary: Cached) -> Cached:
    """Whether a cache says of all encoders but the first how their texts are scaled, and says it of no others."""
    if len(summary.get("more_scales", ())) != max(len(summary.get("widths", ())) - 1, 0):
        raise ValueError("it does not say of each further encoder how its texts are scaled")
    return summary


def _counted(summary: Answered) -> Answered:
    """Whether the counts of answers are of its classes and no more than its images."""
    answered = summary.get("answered", {})
    if not answered.keys() <= set(summary.get("classes", answered)):
        raise ValueError("it counts answers of a class that it does not have")
    if "samples" in summary and sum(answered.values()) > summary["samples"]:
        raise ValueError("it counts more answers than images")
    return summary


SUMMARIES: Mapping[str, Any] = {
    "images": Annotated[Images, AfterValidator(_placed)],
    "texts": Texts,
    "joined": Annotated[Images, AfterValidator(_placed), AfterValidator(_encoded)],
    "coop": Tuned,
    "projection": Texts,
    "cache": Annotated[Cached, AfterValidator(_encoded), AfterValidator(_scaled)],
    "adapter": Adapted,
    "pairs": Paired,
    "eval": Annotated[Evaluated, AfterValidator(_agreeing)],
    "answers": Annotated[Answered, AfterValidator(_counted)],
}


@cache
def _schema(name: str) -> TypeAdapter[Any]:
    return TypeAdapter({**SUMMARIES, "fields": Fields, "source": Source, "stored": Stored}[name])


def oddity(stage: str, fields: Mapping[str, Any], summary: Mapping[str, Any]) -> str | None:
    """What is odd about a manifest's fields and summary, in words; None for what its stage may write, and for a stage unknown here."""
    if stage not in SUMMARIES:
        return None
    return _odd("manifest", "fields", fields) or _odd("manifest", stage, summary)


def source_oddity(source: object) -> str | None:
    """What is odd about the source that a manifest states, in words."""
    return _odd("manifest", "source", source)


def stored_oddity(metadata: object) -> str | None:
    """What is odd about the facts beside an adapter's tensors, in words."""
    return _odd("metadata", "stored", metadata)


def _odd(name: str, schema: str, value: object) -> str | None:
    try:
        _schema(schema).validate_python(value)
    except ValidationError as error:
        return f"what its {name} says is odd: {_first(error)}"
    return None


def _first(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part)[:40] for part in found["loc"])
    what = str(found["msg"]).removeprefix("Value error, ").strip().splitlines()[0][:200]
    return f"{place}: {what[:1].lower()}{what[1:]}" if place else what
