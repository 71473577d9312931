"""All that a report shows, as plain values for its page. Numbers come from the evaluations and their logs; nothing is scored again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from xmap.stages.datasets.sources.corrections import LEAVE_OUT, words_of
from xmap.stages.eval.metrics import BOOTSTRAP_SEED, OVER_BOTH, OVER_SAMPLES, OVER_SEEDS, paired_difference, with_seeds
from xmap.stages.fewshot.class_texts import read_class_texts
from xmap.stages.pages.thumbnails import Pictures, thumbnails
from xmap.stages.report import samples, series
from xmap.stages.report.labelled import labelled
from xmap.stages.report.pairs import pictured, twice
from xmap.store.artifacts.artifact import Artifact
from xmap.store.formats.features import read_errors
from xmap.store.formats.tables import Array
from xmap.store.sql.connection import Connection

if TYPE_CHECKING:
    from xmap.stages.enough.study import Study

FACTS = (
    "accuracies", "top5_mean", "ece_mean", "raw_ece_mean", "log_loss_mean", "brier_mean", "aurc_mean", "balanced_accuracy_mean",
    "macro_f1_mean", "coverage_mean", "coverage_ci95", "coverage_promised", "set_size_mean", "single_share", "class_coverage", "sets_by",
    "precision", "class_samples", "largest_share", "calibrated_on", "temperatures", "trainable_parameters",
    "train_seconds", "ms_per_query", "stored_bytes", "peak_bytes", "selected_on", "trials", "edges", "ci_kind", "seeds", "shots",
    "pool",
)  # fmt: skip
# Of a run, those shown whose labels are doubted.
SUSPECTS = 100
# Of a run, those shown that supported most wrong answers.
MISLEADING = 20
# Of the sentences of a class, those shown.
HEAVIEST = 3


@dataclass(frozen=True)
class Run:
    """An evaluation to report: what it was made from, where its images lie, and what tells it from others of its name.

    `labels` are the tables that corrected its labels, `growth` what the store says of each method at several numbers of shots,
    `kept` the answers of its adapters about pools.
    """

    evaluation: Artifact
    texts: Artifact
    images: Artifact | None
    adapters: Mapping[str, Artifact]
    pictures: Pictures
    pairs: Artifact | None = None
    label: str = ""
    labels: Sequence[str] = ()
    growth: Mapping[str, Study] = field(default_factory=dict)
    kept: Sequence[Artifact] = ()

    @property
    def name(self) -> str:
        """Its name in the report."""
        return f"{self.evaluation.name} {self.label}".rstrip()

    @property
    def path(self) -> str:
        """Its name in the column `artifact` of the views."""
        return _path(self.evaluation)

    @property
    def images_path(self) -> str:
        """The images it was scored on in the column `artifact` of the views; empty where they are gone."""
        return _path(self.images) if self.images else ""

    @property
    def seed(self) -> int:
        """The seed whose answers are listed sample by sample."""
        return int(self.evaluation.summary["results"][0]["seeds"][0])


def _path(artifact: Artifact) -> str:
    return f"{artifact.path.parent.name}/{artifact.path.name}"


def gather(connection: Connection, runs: Sequence[Run], limit: int) -> dict[str, Any]:
    """The report of `runs`: `tasks` (classes and listed samples), `runs`, `series` (a method in a run), `differences`, and `leave_out`.

    Runs over the same classes are one task and can be compared sample by sample. At most `limit` samples a task are listed.
    """
    tasks: dict[tuple[str, ...], list[int]] = {}
    for number, run in enumerate(runs):
        tasks.setdefault(tuple(run.texts.summary["classes"]), []).append(number)
    report: dict[str, Any] = {"tasks": [], "runs": [], "series": [], "differences": [], "leave_out": LEAVE_OUT}
    for place, (classes, numbers) in enumerate(tasks.items()):
        members = [runs[number] for number in numbers]
        ids, total = samples.listed_ids(connection, [run.path for run in members], [run.seed for run in members], limit)
        first, beside = len(report["series"]), list[str]()
        for number, run in zip(numbers, members, strict=True):
            suspects = samples.suspects(connection, [_path(adapter) for adapter in run.adapters.values()], SUSPECTS)
            misleading, pairs = samples.misleading(connection, run.path, MISLEADING), twice(connection, run.pairs)
            shown_too = {"suspects": suspects, "misleading": misleading, "pairs": pairs, "labelled": labelled(connection, run.kept)}
            report["runs"].append({"number": number, "task": place, **_facts(run), **shown_too})
            beside += [*(row["sample"] for row in (*suspects, *misleading)), *pictured(pairs)]
            report["series"] += _series(connection, run, len(report["runs"]) - 1, ids)
        report["differences"] += _differences(connection, members, first)
        shown = _shown(report["series"][first:], [*ids, *beside])
        caches = {adapter.inputs["cache"] for adapter in members[0].adapters.values() if "cache" in adapter.inputs}
        report["tasks"].append({
            "classes": list(classes),
            "words": words_of(classes),
            "prompts": _prompts(members[0].texts, samples.sentences(connection, caches)),
            "samples": ids,
            "labels": samples.labels_of(connection, [run.path for run in members], ids),
            "total": total,
            "contents": samples.contents_of(connection, [run.images_path for run in members], shown),
            "thumbnails": thumbnails([run.pictures for run in members], shown),
        })  # fmt: skip
    return report


def _facts(run: Run) -> dict[str, Any]:
    manifest, errors = run.evaluation.manifest, run.images.files("errors.parquet") if run.images else []
    return {
        "name": run.name,
        "label": run.label,
        "artifact": run.path,
        "fingerprint": run.evaluation.fingerprint,
        "created": manifest["created"],
        "command": manifest["command"],
        "versions": manifest["versions"],
        "features": run.texts.name,
        "dataset": str(run.images.summary.get("dataset", "")) if run.images else "",
        # Imported features have labels of their own, and no images to name.
        "corrects": run.images is None or "content" in run.images.fields,
        "labels": [shlex.quote(name) for name in run.labels],
        "samples": run.evaluation.summary["samples"],
        "seed": run.seed,
        "unreadable": [{"sample": row.sample_id, "kind": row.kind} for path in errors for row in read_errors(path)],
        "remarks": list(run.pictures.remarks),
    }


def _series(connection: Connection, run: Run, number: int, ids: Sequence[str]) -> list[dict[str, Any]]:
    said = samples.answers(connection, run.path, run.seed, ids)
    confusions, bins = series.confusion(connection, run.path), series.calibration(connection, run.path)
    spread, sizes = series.distributions(connection, run.path), series.set_sizes(connection, run.path)
    trained = series.curves(connection, {_path(found): str(found.summary["method"]) for found in run.adapters.values()})
    rows = []
    for result in run.evaluation.summary["results"]:
        method, (low, high) = result["method"], result["accuracy_ci95"]
        rows.append({
            "run": number,
            "method": method,
            "accuracy": result["accuracy_mean"],
            "low": low,
            "high": high,
            "per_class": [None if value is None else round(value, 2) for value in result["per_class"]],
            **{name: result.get(name) for name in FACTS},
            "confusion": confusions.get(method, []),
            "calibration": bins.get(method, []),
            "set_sizes": sizes.get(method, []),
            "distributions": spread.get(method, {}),
            "curves": trained.get(method, {}),
            "growth": asdict(run.growth[method]) if method in run.growth else None,
            "answers": said.get(method, {}),
        })  # fmt: skip
    return rows


def _differences(connection: Connection, runs: Sequence[Run], first: int) -> list[dict[str, Any]]:
    """The paired difference of each two series of a task, in points: within a run as its evaluation found it, else found here.

    Series are numbered from `first`; two runs are compared on the `images` that both scored under one label, and where supports differ
    from seed to seed, on the seeds that both have.
    """
    differences: list[dict[str, Any]] = []
    scored: list[tuple[Run, list[str], Array]] = []
    results = [result for run in runs for result in run.evaluation.summary["results"]]
    for run in runs:
        ids, right = samples.correctness(connection, run.path)
        numbers = {row["method"]: first + len(scored) + place for place, row in enumerate(run.evaluation.summary["results"])}
        scored += [(run, ids, right[method]) for method in numbers]
        for row in run.evaluation.summary["differences"]:
            pair = {"of": numbers[row["method"]], "against": numbers[row["against"]], "images": len(ids)}
            kind = row.get("ci_kind", OVER_SAMPLES)
            differences.append(
                {**pair, "difference": row["difference"], "low": row["ci95"][0], "high": row["ci95"][1], "kind": kind, "tie": row["tie"]}
            )
    for two, one in combinations(range(len(scored)), 2):
        (earlier, seen, before), (later, ids, after) = scored[two], scored[one]
        if earlier is later:
            continue
        common, old, new = np.intersect1d(seen, ids, assume_unique=True, return_indices=True)
        if len(common):
            gap = paired_difference(100.0 * after[new], 100.0 * before[old], BOOTSTRAP_SEED)
            seeds = _by_seed(results[one], results[two])
            gap, kind = (gap, OVER_SAMPLES) if seeds is None else (with_seeds(gap, seeds), OVER_BOTH)
            pair = {"of": first + one, "against": first + two, "images": len(common)}
            differences.append({**pair, "difference": gap.mean, "low": gap.low, "high": gap.high, "kind": kind, "tie": gap.tie})
    return differences


def _by_seed(result: Mapping[str, Any], other: Mapping[str, Any]) -> Array | None:
    """The differences in accuracy of two results under the seeds that both have, in points; None where no support differs by seed."""
    accuracy, others = (dict(zip(row["seeds"], row["accuracies"], strict=False)) for row in (result, other))
    gaps = [accuracy[seed] - others[seed] for seed in accuracy if seed in others]
    varies = OVER_SEEDS in (result["ci_kind"], other["ci_kind"])
    return np.asarray(gaps) if varies and len(gaps) > 1 else None


def _prompts(texts: Artifact, weighed: Mapping[int, Sequence[tuple[str, float]]]) -> list[str]:
    """For each class its prompt, or one of them and how many they are; where they are `weighed`, the heaviest with their weights."""
    rows = read_class_texts(texts)
    found: dict[int, list[str]] = {}
    for label, prompt in zip(rows.class_ids.tolist(), rows.prompts, strict=True):
        found.setdefault(label, []).append(prompt)
    return [_heaviest(weighed[label]) if label in weighed else _first(prompts) for label, prompts in sorted(found.items())]


def _first(prompts: Sequence[str]) -> str:
    return prompts[0] if len(prompts) == 1 else f"{prompts[0]} (and {len(prompts) - 1} more)"


def _heaviest(weighed: Sequence[tuple[str, float]]) -> str:
    said = "; ".join(f"{sentence} ({100 * weight:.0f} %)" for sentence, weight in weighed[:HEAVIEST])
    return said if len(weighed) <= HEAVIEST else f"{said}; and {len(weighed) - HEAVIEST} more"


def _shown(rows: Sequence[Mapping[str, Any]], ids: Sequence[str]) -> list[str]:
    """Every image that the page can show: the listed samples and their nearest cached images."""
    near = (sample_id for row in rows for listed in row["answers"].get("near", []) for sample_id in listed or ())
    return list(dict.fromkeys([*ids, *near]))
