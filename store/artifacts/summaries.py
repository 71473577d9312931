"""What each stage writes into its manifest, as types. Earlier versions wrote fewer facts, later ones may write more."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, StringConstraints, with_config
from typing_extensions import TypedDict

# Of text that is shown or joined: long enough for any name, short enough to hold many.
LONGEST = 10_000
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
class Seen(TypedDict):
    """One of several encoders: what identifies it (null: others extracted its features), and the settings that named it."""

    fields: Nested | None
    source: dict[Word, Setting]


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
    widths: Annotated[list[Some], Field(min_length=2)]
    encoders: Annotated[list[Word], Field(min_length=2)]
    seen: Annotated[list[Seen], Field(min_length=2)]
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
    sentences: Count


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
    more_scales: list[Positive | None]


@with_config(STRICT)
class Calibrated(TypedDict):
    """What makes an adapter's probabilities honest."""

    temperature: Annotated[float, Field(ge=0.01, le=100)]
    samples: Count
    calibrated_on: Word


@with_config(STRICT)
class KeptApart(TypedDict):
    """The samples that chose nothing of an adapter."""

    samples: Count
    source: Word


@with_config(STRICT)
class Examined(TypedDict, total=False):
    correct: Count
    samples: Count
    better: Count
    worse: Count


@with_config(STRICT)
class Pooled(TypedDict, total=False):
    """The images without labels that an adapter learned from, and the class shares that were believed of them."""

    images: Count
    shares: Literal["given", "estimated", "free"]
    together: bool
    class_shares: dict[Word, Real]


@with_config(STRICT)
class Adapted(About, total=False):
    method: Word
    options: Nested
    settings: dict[Word, Real | Word]
    selection: Chosen
    examination: dict[Word, Examined]
    calibration: Calibrated
    kept: KeptApart
    pool: Pooled


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
    coverage_mean: Real | None
    coverage_ci95: Pair | None
    coverage_promised: Real
    set_size_mean: Real | None
    single_share: Real | None
    class_coverage: list[Real | None] | None
    worst_coverage: Real | None
    sets_by: Word
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
    pool: Word


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
class Answered(About, total=False):
    """What is said of a pool: how many images have which class, and what cannot be read."""

    samples: Count
    bad: Count
    known: Count | None
    rejected: Count | None
    answered: dict[Word, Count]
    promises: list[Word]


@with_config(STRICT)
class Fields(TypedDict, total=False):
    """The declared fields that anybody reads by name."""

    version: Number
    encoder: Nested
    content: dict[Word, Word]
    methods: Names
    origin: dict[Word, Word]


@with_config(STRICT)
class Source(TypedDict, total=False):
    """Where images, encoder and features were found: settings, which the pipeline holds against their models when it reads them."""

    data: dict[Word, Setting | list[Word]]
    encoder: dict[Word, Setting]
    features: Word
