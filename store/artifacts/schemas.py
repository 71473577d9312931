"""What the manifests of each stage say: one declared schema a stage, checked when a manifest is read.

A seal shows that a manifest is as it was written, not who wrote it: another program can seal anything. So types, ranges and what must
agree are checked once, at the door, and nobody else has to. Facts may be absent, as earlier versions wrote fewer: `usable.py` asks for
those that using an artifact takes. What tables, indexes and tensors hold is checked where they are opened.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

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
Setting = Word | bool | int | Real | None


@with_config(STRICT)
class About(TypedDict, total=False):
    """What summaries of several stages say, and what readers look for whatever the stage: one name means one thing."""

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
    counts: dict[Word, Count]
    parts: dict[Word, Word]
    features: list[Word]
    results: list[Result]
    differences: list[Difference]


@with_config(STRICT)
class Images(About, total=False):
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
class Calibrated(TypedDict):
    """What makes an adapter's probabilities honest."""

    temperature: Annotated[float, Field(ge=0.01, le=100)]
    samples: Count
    calibrated_on: Word


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
    calibration: Calibrated


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
    calibration: NotRequired[Calibrated]


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
    raw_ece_mean: Real
    ece_bins: Count
    log_loss_mean: Real
    raw_log_loss_mean: Real
    brier_mean: Real
    aurc_mean: Real
    calibrated_on: Word
    temperatures: list[Real]
    per_class: list[Real | None]
    balanced_accuracy_mean: Real
    macro_f1_mean: Real
    precision: list[Real | None]
    f1: list[Real | None]
    class_samples: list[Count]
    largest_share: Real
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
    samples: Count


@with_config(STRICT)
class Leaks(TypedDict):
    """Of a split's images those that an earlier split has too."""

    images: Count
    exact: Count
    near: Count


@with_config(STRICT)
class Paired(About, total=False):
    threshold: Real
    duplicates: Count
    leaks: dict[Word, Leaks]


@with_config(STRICT)
class Fields(TypedDict, total=False):
    """The declared fields that anybody reads by name."""

    version: Number
    encoder: Nested
    content: dict[Word, Word]
    methods: Names


@with_config(STRICT)
class Source(TypedDict, total=False):
    """Where images, encoder and features were found: settings, which the pipeline holds against their models when it reads them."""

    data: dict[Word, Setting]
    encoder: dict[Word, Setting]
    features: Word


def _agreeing(summary: Evaluated) -> Evaluated:
    """Whether the lists of an evaluation fit each other."""
    results = summary.get("results", [])
    methods = [row.get("method") for row in results]
    if len(set(methods)) < len(methods):
        raise ValueError("two results are of one method")
    if any(max(len(row.get("accuracies", [])), len(row.get("temperatures", []))) > len(row.get("seeds", [])) for row in results):
        raise ValueError("a result has more accuracies than seeds")
    by_class = (row.get(name) for row in results for name in ("per_class", "precision", "f1", "class_samples"))
    if len({len(listed) for listed in by_class if isinstance(listed, list)}) > 1:
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
    "pairs": Paired,
    "eval": Annotated[Evaluated, AfterValidator(_agreeing)],
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
