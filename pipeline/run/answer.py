"""What `run`, `eval`, `bench` and `status` say with --json: one object whose fields mean the same in each; docs/json.md is made of it.

`version` goes up when a field is renamed, removed or changes its meaning. New fields may come at any time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from xmap.pipeline.run.execute import RunResult
from xmap.pipeline.run.made_with import made_with
from xmap.stages.datasets.dataset import TEST
from xmap.stages.names import IMAGES, JOINED
from xmap.store.artifacts.artifact import Artifact

VERSION = 1
Row = Mapping[str, Any]


class Evaluation(BaseModel):
    """An evaluation of the store."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="Its name; `xmap show eval/NAME` shows the newest of that name.")
    fingerprint: str = Field(description="What it was made of, as 64 hexadecimal digits; no two evaluations share one.")
    created: str = Field(description="When it was made, ISO 8601 in UTC.")
    samples: int | None = Field(description="How many test images were scored.")


class Answer(BaseModel):
    """The object. Where there is no evaluation, `evaluation` and `dataset` are null and the lists empty."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(default=VERSION, description="The version of this description.")
    evaluation: Evaluation | None = Field(
        default=None, description="The evaluation that the results are from; null where they are of several."
    )
    dataset: str | None = Field(default=None, description="The data set's name; null where there are several.")
    model: str | None = Field(default=None, description="The encoder's name, where the features were extracted here.")
    classes: Sequence[str] = Field(
        default=(), description="The class names, in the order of `per_class`; empty where there are several data sets."
    )
    results: Sequence[Row] = Field(default=(), description="One object a method, see below.")
    differences: Sequence[Row] = Field(default=(), description="One object for each two methods, see below.")
    made_with: Sequence[str] = Field(
        default=(), description="Several encoders, sentences that describe classes and a pool that adapters were made with; empty for none."
    )
    unknown: Sequence[Row] = Field(default=(), description="With `xmap eval --unknown` one object an adapter, see below.")
    warnings: Sequence[str] = Field(default=(), description="What should make you doubt the results, a sentence each.")
    changes: Row | None = Field(
        default=None, description="What changed in the data since its newest extraction, see below; null where none may be extracted."
    )


class BenchAnswer(Answer):
    """What the benchmark says: all cells of the grid."""

    protocol: str = Field(default="", description="What settings were chosen on, in words.")
    cells: Sequence[Row] = Field(
        default=(), description="One object a data set and number of shots, with `evaluation`, `classes`, `results` and so on of its own."
    )
    published: Mapping[str, Any] = Field(default={}, description="For each benchmark, accuracies that others published, with their source.")
    failures: Sequence[Row] = Field(default=(), description="What could not be done: `dataset`, `shots`, `method` and `message`.")


class StatusAnswer(Answer):
    """What a store holds and what a run would do."""

    artifacts: Sequence[Row] = Field(
        default=(),
        description="One object an artifact, with `made_with` as above; its `state` is `current`, `older` (another of its name was used "
        "later) or empty.",
    )
    damaged: Sequence[str] = Field(default=(), description="What cannot be read, a sentence each.")
    plan: Sequence[Row] = Field(default=(), description="What a run with the present settings would do, a step each; empty without images.")
    remark: str = Field(default="", description="Why a run cannot be planned, where images are named and it cannot.")


# What an object of `results` holds.
RESULT: Mapping[str, str] = {
    "method": "The method.",
    "shots": "Labelled images a class.",
    "seeds": "The seeds.",
    "accuracy_mean": "Top-1 accuracy on the test images over the seeds, percent.",
    "accuracy_ci95": "Its 95 % interval: [low, high].",
    "ci_kind": "What the interval is over: seeds, or test samples.",
    "accuracies": "The accuracy of each seed, percent.",
    "top5_mean": "Top-5 accuracy, percent.",
    "ece_mean": "Expected calibration error, percent: stated probability against accuracy, in `ece_bins` bins of equal width.",
    "raw_ece_mean": "The same before calibration, of the probabilities as trained.",
    "ece_bins": "How many bins.",
    "log_loss_mean": "The mean of minus the natural logarithm of the true class's probability.",
    "raw_log_loss_mean": "The same before calibration.",
    "brier_mean": "Brier score: the squared distance of the probabilities from the truth, 0 to 2.",
    "aurc_mean": "Area under risk against coverage, percent: the error among the surest answers, averaged over all their numbers.",
    "calibrated_on": "What the temperatures were fitted on.",
    "temperatures": "What the logits of each seed are divided by for its probabilities; 1 is as trained.",
    "per_class": "The accuracy (recall) of each class, percent; null for a class without test images.",
    "balanced_accuracy_mean": "The mean accuracy of the classes, percent.",
    "macro_f1_mean": "The mean F1 of the classes, percent.",
    "precision": "Of the answers that name a class the share that is right, percent, for each class; null for a class never named.",
    "f1": "The F1 of each class, percent; null for a class that has neither test images nor answers.",
    "coverage_mean": "The share of prediction sets that hold the true class, percent; null where there are no sets.",
    "coverage_ci95": "Its 95 % interval: [low, high]; null where there are no sets.",
    "coverage_promised": "The share that the sets promise, percent.",
    "set_size_mean": "Classes a set; null where there are no sets.",
    "single_share": "The share of sets of one class, percent; null where there are no sets.",
    "class_coverage": "The coverage of each class, percent; null for a class without test images, and where there are no sets.",
    "worst_coverage": "The lowest of these.",
    "sets_by": "The samples that the sets are made by and what they warrant, or why there are no sets.",
    "class_samples": "The test images of each class.",
    "largest_share": "The share of the test images that the largest class has, percent: what naming it always would reach.",
    "selected_on": "What settings were chosen on.",
    "trials": "How many settings were tried.",
    "edges": "Settings whose choice lies at the edge of its grid.",
    "trainable_parameters": "How many numbers were trained.",
    "train_seconds": "How long training took, a seed.",
    "ms_per_query": "Milliseconds to score one image feature.",
    "stored_bytes": "The size of the trained tensors.",
    "peak_bytes": "Most memory while training: of the GPU, else of the process; null where the system does not tell.",
    "text": "`prompts`, or `coop` where the class texts were tuned.",
    "text_parameters": "How many numbers the class texts' tuning trained.",
    "text_seconds": "How long it took, a seed.",
    "text_trials": "How many settings it tried.",
    "pool": "The images without labels that were learned from too, in words; absent for none.",
}
# What an object of `differences` holds.
DIFFERENCE: Mapping[str, str] = {
    "method": "The method.",
    "against": "The one it is compared with.",
    "difference": "Its accuracy minus the other's on the same test images, points.",
    "ci95": "The paired 95 % interval of that: [low, high].",
    "ci_kind": "What that interval is over: test samples, or seeds and test samples where supports differ from seed to seed.",
    "tie": "Whether the interval holds zero.",
}
# What an object of `unknown` holds.
UNKNOWN: Mapping[str, str] = {
    "method": "The method.",
    "seed": "The seed.",
    "images": "How many images of none of the classes there are.",
    "auroc": "How often one of them is stranger than a test image, percent.",
    "false_accepts": "The share of them that is accepted where 95 % of the test images are, percent.",
    "rejected": "The share of them that `xmap predict --reject 0.95` rejects, percent.",
    "test_rejected": "The share of the test images that it rejects, percent.",
}
# What `changes` holds.
CHANGES: Mapping[str, str] = {
    "since": "The extraction that the data are compared with, below the store; null where there is none.",
    "new": "How many images came. These counts are absent where there are too many images to compare.",
    "changed": "How many have other bytes under the same name.",
    "relabelled": "How many are of another class.",
    "renamed": "How many have another name, in the same class and split.",
    "in_another_split": "How many are in another split.",
    "gone": "How many went.",
    "to_encode": "How many have no features in the store; null where other machines encode.",
    "said": "All of it in words.",
}
# What rows of several data sets or numbers of shots have beside these.
PLACE: Mapping[str, str] = {"dataset": "The data set's name.", "shots": "Labelled images a class."}


def answer_of(result: RunResult) -> Answer:
    """What a run says."""
    changes = result.changes.facts() if result.changes else None
    if result.evaluation is None:
        return Answer(changes=changes)
    said = answer(result.evaluation, tuple(result.artifacts.values()), (*result.doubts, *result.warnings))
    return said.model_copy(update={"changes": changes})


def answer(evaluation: Artifact, artifacts: Sequence[Artifact], warnings: Sequence[str] = ()) -> Answer:
    """What an evaluation says; among `artifacts` are the images that it scored."""
    scored = evaluation.inputs.get(TEST)
    images = next(
        (found for found in artifacts if found.stage in (IMAGES, JOINED) and scored in dict(found.summary.get("parts") or {}).values()),
        None,
    )
    return Answer(
        evaluation=Evaluation(
            name=evaluation.name,
            fingerprint=evaluation.fingerprint,
            created=evaluation.manifest["created"],
            samples=evaluation.summary.get("samples"),
        ),
        dataset=None if images is None else str(images.summary.get("dataset", images.name)),
        model=None if images is None else images.summary.get("model"),
        classes=() if images is None else tuple(images.summary.get("classes") or ()),
        results=evaluation.summary.get("results", []),
        differences=evaluation.summary.get("differences", []),
        made_with=made_with(evaluation, {found.fingerprint: found for found in artifacts}),
        warnings=tuple(warnings),
    )


def _holds(images: Artifact, part: str | None) -> bool:
    return part in dict(images.summary.get("parts") or {}).values()
