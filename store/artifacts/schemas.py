"""What the manifests of each stage say: one declared schema a stage, checked when a manifest is read.

A seal shows that a manifest is as it was written, not who wrote it: another program can seal anything. So types, ranges and what must
agree are checked once, at the door, and nobody else has to. Facts may be absent, as earlier versions wrote fewer; `usable` asks for
those that using an artifact takes. What tables, indexes and tensors hold is checked where they are opened.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from xmap.store.errors import ArtifactDamaged

if TYPE_CHECKING:
    from xmap.store.artifacts.artifact import Artifact

# Of text that is shown or joined: long enough for any name, short enough to hold many.
LONGEST = 10_000
FIXED, SHOTS = "support-", re.compile(r"support-[1-9][0-9]{0,8}")
STRICT = ConfigDict(strict=True, allow_inf_nan=False, extra="allow")

Word = Annotated[str, StringConstraints(max_length=LONGEST)]
Number = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Some = Annotated[int, Field(ge=1, lt=2**31)]
Real = Annotated[float, Field(gt=-1e300, lt=1e300)]
Positive = Annotated[float, Field(gt=0, lt=1e300)]
Names = Annotated[list[Word], Field(min_length=1)]
Pair = Annotated[list[Real], Field(min_length=2, max_length=2)]
Nested = dict[Word, Any]


@with_config(STRICT)
class About(TypedDict, total=False):
    """What summaries of several stages say."""

    dataset: Word
    model: Word
    classes: Names
    width: Some
    logit_scale: Positive
    templates: Names
    imported: Word
    remarks: list[Word]
    shots: Some
    seed: Number | None
    views: Count
    train_seconds: Real
    stored_bytes: Count
    peak_bytes: Count | None
    trainable_parameters: Count


@with_config(STRICT)
class Images(About, total=False):
    counts: dict[Word, Count]
    parts: dict[Word, Word]
    bad: Count
    bad_kinds: dict[Word, Count]
    errors: Count


@with_config(STRICT)
class Texts(About, total=False):
    cut_prompts: Count


@with_config(STRICT)
class Chosen(TypedDict, total=False):
    """How settings were chosen."""

    selected_on: Word
    trials: Count
    accuracy: Real | None
    grid: dict[Word, list[Real]]
    edges: list[Word]
    epoch: Count
    epochs: Count


@with_config(STRICT)
class Tuned(About, total=False):
    context: Count
    selection: Chosen


@with_config(STRICT)
class Cached(About, total=False):
    split: Word
    fixed: bool
    entries: Count
    short_classes: dict[Word, Count]
    index: Word
    recall: Real
    effort: Count | None
    depth: Literal["auto"] | Annotated[int, Field(ge=8, le=16)]
    max_pixels: Count


@with_config(STRICT)
class Examined(TypedDict, total=False):
    correct: Count
    samples: Count
    better: Count
    worse: Count


@with_config(STRICT)
class Adapted(About, total=False):
    method: Word
    options: Nested
    settings: dict[Word, Real | Word]
    selection: Chosen
    examination: dict[Word, Examined]


@with_config(STRICT)
class Selected(TypedDict):
    """How an adapter's settings were chosen, as its tensors' file says."""

    selected_on: Word
    trials: Count
    accuracy: Real | None
    grid: dict[Word, list[Real]]
    edges: list[Word]


@with_config(STRICT)
class Stored(TypedDict):
    """What stands beside an adapter's tensors."""

    method: Word
    options: Nested
    settings: dict[Word, Real | Word]
    selection: Selected
    trainable_parameters: Count


@with_config(STRICT)
class Result(TypedDict, total=False):
    """What an evaluation says of one method."""

    method: Word
    shots: Some
    seeds: list[Number]
    accuracies: list[Real]
    accuracy_mean: Real
    accuracy_ci95: Pair
    ci_kind: Word
    top5_mean: Real
    ece_mean: Real
    per_class: list[Real | None]
    selected_on: Word
    trials: Count
    edges: list[Word]
    trainable_parameters: Count
    train_seconds: Real
    ms_per_query: Real
    stored_bytes: Count
    peak_bytes: Count | None
    text: Word | Nested
    text_parameters: Count
    text_seconds: Real
    text_trials: Count


@with_config(STRICT)
class Difference(TypedDict):
    method: Word
    against: Word
    difference: Real
    ci95: Pair
    ci_kind: NotRequired[Word]
    tie: bool


@with_config(STRICT)
class Evaluated(About, total=False):
    results: list[Result]
    differences: list[Difference]
    samples: Count


@with_config(STRICT)
class Fields(TypedDict, total=False):
    """The declared fields that anybody reads by name."""

    version: Number
    encoder: Nested
    content: dict[Word, Word]
    methods: Names


def _agreeing(summary: Evaluated) -> Evaluated:
    """Whether the lists of an evaluation fit each other."""
    results = summary.get("results", [])
    methods = [row.get("method") for row in results]
    if len(set(methods)) < len(methods):
        raise ValueError("two results are of one method")
    if any(len(row.get("accuracies", [])) > len(row.get("seeds", [])) for row in results):
        raise ValueError("a result has more accuracies than seeds")
    if len({len(row["per_class"]) for row in results if "per_class" in row}) > 1:
        raise ValueError("its results are of different classes")
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


SUMMARIES: Mapping[str, Any] = {
    "images": Annotated[Images, AfterValidator(_placed)],
    "texts": Texts,
    "coop": Tuned,
    "cache": Cached,
    "adapter": Adapted,
    "eval": Annotated[Evaluated, AfterValidator(_agreeing)],
}

# What using an artifact of a stage takes of its summary, and of each of its results.
NEEDED: Mapping[str, tuple[str, ...]] = {
    "images": ("classes", "counts", "parts"),
    "texts": ("classes", "logit_scale"),
    "coop": ("classes", "logit_scale", "selection", "trainable_parameters", "train_seconds"),
    "cache": ("classes", "shots", "entries", "views", "index"),
    "adapter": ("method", "seed", "shots", "settings", "selection", "trainable_parameters", "train_seconds", "stored_bytes"),
    "eval": ("results", "differences", "samples"),
}  # fmt: skip
NEEDED_RESULTS = (
    "method", "shots", "seeds", "accuracies", "accuracy_mean", "accuracy_ci95", "ci_kind", "top5_mean", "ece_mean", "per_class",
    "selected_on", "trials", "edges", "trainable_parameters", "train_seconds", "ms_per_query", "stored_bytes",
)  # fmt: skip
NEEDED_CHOICES = ("selected_on", "trials")
NEEDED_INPUTS: Mapping[str, tuple[str, ...]] = {"cache": ("texts",), "adapter": ("texts", "cache"), "eval": ("texts", "test")}


@cache
def _schema(name: str) -> TypeAdapter[Any]:
    return TypeAdapter({**SUMMARIES, "fields": Fields, "stored": Stored}[name])


def oddity(stage: str, fields: Mapping[str, Any], summary: Mapping[str, Any]) -> str | None:
    """What is odd about a manifest's fields and summary, in words; None for what its stage may write, and for a stage unknown here."""
    if stage not in SUMMARIES:
        return None
    return _odd("manifest", "fields", fields) or _odd("manifest", stage, summary)


def stored_oddity(metadata: object) -> str | None:
    """What is odd about the facts beside an adapter's tensors, in words."""
    return _odd("metadata", "stored", metadata)


def _odd(name: str, schema: str, value: object) -> str | None:
    try:
        _schema(schema).validate_python(value)
    except ValidationError as error:
        return f"what its {name} says is odd: {_first(error)}"
    return None


def usable(artifact: Artifact, *more: str) -> Artifact:
    """The artifact, if its manifest says all that using it takes, and `more` in its summary. Raises `ArtifactDamaged`."""
    absent = next((name for name in more if name not in artifact.summary), None)
    problem = f"its summary lacks {absent!r}" if absent else _lacking(artifact.stage, artifact.inputs, artifact.summary)
    if problem:
        raise ArtifactDamaged(artifact.path, problem, artifact.remedy)
    return artifact


def _lacking(stage: str, inputs: Mapping[str, str], summary: Mapping[str, Any]) -> str | None:
    """What is missing, in words."""
    rows = summary.get("results") or [] if stage == "eval" else []
    wanted = [(f"its summary lacks {name!r}", name in summary) for name in NEEDED.get(stage, ())]
    wanted += [(f"its inputs lack {name!r}", name in inputs) for name in NEEDED_INPUTS.get(stage, ())]
    wanted += [(f"a result lacks {name!r}", name in row) for row in rows for name in NEEDED_RESULTS]
    if "selection" in NEEDED.get(stage, ()):
        wanted += [(f"its selection lacks {name!r}", name in summary.get("selection", {})) for name in NEEDED_CHOICES]
    if stage == "eval":
        wanted.append(("it has no result", bool(rows) and all(row.get("seeds") and row.get("accuracies") for row in rows)))
    return next((problem for problem, there in wanted if not there), None)


def _first(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part)[:40] for part in found["loc"])
    what = str(found["msg"]).removeprefix("Value error, ").strip().splitlines()[0][:200]
    return f"{place}: {what[:1].lower()}{what[1:]}" if place else what
