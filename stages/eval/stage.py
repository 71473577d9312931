"""The stage `eval`: the only one that opens the test split, once, for adapters whose every choice is already made.

It hands test rows to scoring alone: what it returns is an artifact with metrics, predictions and the affinity log.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from xmap.stages.config import EvalConfig
from xmap.stages.datasets.classes.shared_names import told_apart
from xmap.stages.datasets.dataset import TEST
from xmap.stages.eval.results import differences_of, result_of
from xmap.stages.eval.scoring import Outcome, Run, score
from xmap.stages.fewshot.cache import OpenCache
from xmap.stages.fewshot.draw import feature_files
from xmap.stages.fewshot.load import labelled, load_text, require_same_encoder
from xmap.stages.fewshot.task import Labelled
from xmap.stages.machine.device import resolve_device
from xmap.stages.methods.columns import FLOATS
from xmap.stages.workplace.place import Workplace
from xmap.store.artifacts.artifact import Artifact, Draft
from xmap.store.artifacts.fingerprint import Json
from xmap.store.artifacts.identity import Identity
from xmap.store.disk.files import write_bytes
from xmap.store.errors import InputError
from xmap.store.formats.features import read_parts
from xmap.store.formats.log import OF_ENCODERS, Column, NeighborColumn, write_affinity, write_predictions
from xmap.store.formats.samples import columns_of, content_order
from xmap.store.formats.tables import Array, read_table

PREDICTED = (
    "probability", "true_probability", "raw_probability", "raw_true_probability", "set_size", "in_set", "strangeness", "zero_shot", "top5",
    "top5_probability", "top5_image", "top5_text",
)  # fmt: skip


def evaluate(
    workplace: Workplace,
    identity: Identity,
    images: Artifact,
    texts: Artifact,
    runs: Sequence[Run],
    config: EvalConfig,
    target: bool = False,
) -> Artifact:
    """Score the test split with every run; store metrics, predictions and the affinity log.

    With `target` the `images` are others than those of the adapters, of the same classes, and only the classes they have images
    of can be predicted.
    `summary["results"]` holds one object a method, in the order of `runs`; `summary["differences"]` one a pair of methods.
    Raises `InputError` without test images, without runs, for runs of different shots, and for a device that is not there.
    """
    device = resolve_device(workplace.device)
    _check(runs)
    with workplace.build(identity) as held:
        if isinstance(held, Artifact):
            return held
        text = load_text(texts)
        test = _read_test(images)
        require_same_encoder(images, texts, test.features.shape[1], text)
        barred = _barred(images, text.names, test) if target else None
        workplace.progress.start("eval", len(runs) * len(test))
        outcomes = _each(runs, lambda run, cache: score(workplace, run, cache, test, config, barred))
        results = [result_of(method, found, test, config, text.classes) for method, found in _by_method(outcomes).items()]
        differences = differences_of(_by_method(outcomes))
        _write(held, outcomes, test)
        facts: dict[str, Json] = {"results": results, "differences": differences, "samples": len(test), "classes": list(text.names)}
        write_bytes(held.path / "metrics.json", json.dumps({**facts, "config": config.model_dump(mode="json")}, indent=1).encode())
        return held.commit({"results": results, "differences": differences, "samples": len(test)}, device=device)


def _check(runs: Sequence[Run]) -> None:
    if not runs:
        raise InputError("nothing to evaluate: name methods with --methods.")
    shots = sorted({run.shots for run in runs})
    if len(shots) > 1:
        raise InputError(f"one evaluation compares methods at one number of shots, got {', '.join(map(str, shots))}; run them one by one.")
    seeds = {method: [run.seed for run in runs if run.method == method] for method in {run.method for run in runs}}
    for method, found in seeds.items():
        if len(set(found)) < len(found):
            raise InputError(f"method {method!r} comes twice with one seed; name every seed once with --seeds.")


def _each(runs: Sequence[Run], scored: Callable[[Run, OpenCache], Outcome]) -> list[Outcome]:
    """What each run did. Those on one cache follow each other: it is opened once, and no two are open at a time."""
    prints = [(run.cache.fingerprint, run.texts.fingerprint) for run in runs]
    outcomes: dict[int, Outcome] = {}
    for _, numbers in groupby(sorted(range(len(runs)), key=prints.__getitem__), key=prints.__getitem__):
        members = list(numbers)
        cache = OpenCache(runs[members[0]].cache, runs[members[0]].texts)
        outcomes |= {number: scored(runs[number], cache) for number in members}
    return [outcomes[number] for number in range(len(runs))]


def _read_test(images: Artifact) -> Labelled:
    """The plain views of the test split by content, some files at a time into one array: a second copy would be as large as all else."""
    paths = feature_files(images, TEST)
    tables = [read_table(path, types=columns_of(paths[0])) for path in paths]
    plain = [np.flatnonzero(table["view"].to_numpy() == 0) for table in tables]
    order = content_order([table.take(rows) for table, rows in zip(tables, plain, strict=True)])
    total = len(order)
    if not total:
        raise InputError(f"features {images.name!r} hold no readable test image; extract a dataset with a test split.")
    places, done, ids = np.argsort(order), 0, [""] * total
    labels, features = torch.empty(total, dtype=torch.int64), torch.empty(0)
    for part in map(labelled, read_parts(zip(paths, plain, strict=True))):
        if not done:
            features = torch.empty(total, part.features.shape[1])
        rows = places[done : done + len(part)]
        labels[rows], features[rows], done = part.labels, part.features, done + len(part)
        for row, sample in zip(rows.tolist(), part.sample_ids, strict=True):
            ids[row] = sample
    return Labelled(tuple(ids), labels, features)


def _barred(target: Artifact, names: Sequence[str], test: Labelled) -> Tensor:
    """Which classes (N,) bool the target has no image of. Raises `InputError` where its classes are others."""
    if told_apart(target.summary["classes"]) != tuple(names):
        raise InputError(f"images {target.name!r} are of other classes than the adapters; extract both with one classnames.txt.")
    return torch.bincount(test.labels, minlength=len(names)) == 0


def _by_method(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.run.method, []).append(outcome)
    return groups


def _write(draft: Draft, outcomes: Sequence[Outcome], test: Labelled) -> None:
    labels = test.labels.numpy()
    total = len(test)

    def column(name: str) -> Array:
        return np.concatenate([outcome.columns.get(name, np.full(total, np.nan, np.float32)) for outcome in outcomes])

    shared: dict[str, Column | NeighborColumn] = {
        "run": [outcome.run.adapter.path.name for outcome in outcomes for _ in range(total)],
        "method": [outcome.run.method for outcome in outcomes for _ in range(total)],
        "seed": np.repeat([outcome.run.seed for outcome in outcomes], total),
        "sample_id": list(test.sample_ids) * len(outcomes),
        "label": np.tile(labels, len(outcomes)),
        "predicted": column("predicted"),
    }
    several = OF_ENCODERS if all(name in outcome.columns for outcome in outcomes for name in OF_ENCODERS) else ()
    predictions = {name: column(name) for name in (*PREDICTED, *several)}
    write_predictions(draft.path / "predictions.parquet", {**shared, **predictions}, draft.identity.fingerprint)
    log: dict[str, Column | NeighborColumn] = {
        "split": TEST,
        "epoch": 0,
        "zero_shot_correct": column("zero_shot") == np.tile(labels, len(outcomes)),
        "correct": column("correct"),
        "neighbor_agreement": column("neighbor_agreement"),
        "neighbors": _joined([outcome.neighbors for outcome in outcomes]),
    }
    write_affinity(
        draft.path / "affinity/test.parquet", {**shared, **{name: column(name) for name in FLOATS}, **log}, draft.identity.fingerprint
    )


def _joined(columns: Sequence[NeighborColumn]) -> NeighborColumn:
    """The neighbours of several runs, each with a cache of its own, as one column."""
    width = max(column.rows.shape[1] for column in columns)
    starts = np.cumsum([0, *(len(column.sample_ids) for column in columns)])
    rows = [
        _padded(np.where(column.rows >= 0, column.rows + start, -1), width, -1) for column, start in zip(columns, starts[:-1], strict=True)
    ]
    affinities = [_padded(column.affinities, width, 0.0) for column in columns]
    ids = [sample for column in columns for sample in column.sample_ids]
    labels = np.concatenate([column.labels for column in columns])
    return NeighborColumn(np.concatenate(rows), np.concatenate(affinities), ids, labels)


def _padded(matrix: Array, width: int, value: float) -> Array:
    return np.pad(matrix, ((0, 0), (0, width - matrix.shape[1])), constant_values=value)
