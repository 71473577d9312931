"""What an evaluation says of prediction sets, against the adapter's kept samples and the logits, by the formulas."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.worlds.evaluation import Scene
from xmap.stages.eval.scoring import Run
from xmap.stages.fewshot.draw import NOTHING_KEPT
from xmap.store.artifacts.artifact import Artifact
from xmap.store.artifacts.schemas import SETS
from xmap.store.formats.tables import read_table
from xmap.store.sql.connection import connect


def limit_of(run: Run, level: float) -> float:
    """The nonconformity that so many of the kept samples do not exceed that a new one exceeds it rarely enough."""
    kept = np.sort(read_table(run.adapter.file("kept.parquet"))["nonconformity"].to_numpy())
    rank = math.ceil(level * (len(kept) + 1))
    return float(kept[rank - 1]) if rank <= len(kept) else math.inf


def sets(here: Scene, run: Run, level: float) -> np.ndarray:
    """Which classes (T, N) are in the set of each test sample."""
    logits = here.logits(run)
    misfit = np.log(np.exp(logits).sum(axis=1, keepdims=True)) - logits
    return (misfit <= limit_of(run, level) + 1e-5) | (logits == logits.max(axis=1, keepdims=True))


def result(artifact: Artifact, method: str) -> dict[str, Any]:
    return next(row for row in artifact.summary["results"] if row["method"] == method)


def test_sets_follow_from_what_was_kept_and_their_measures_from_the_sets(tmp_path: Path) -> None:
    here = Scene(tmp_path)
    runs = [here.run(method, seed) for method in ("zero-shot", "tip-adapter") for seed in (1, 2)]
    artifact = here.evaluate(runs, sets=0.8)
    labels, rows = here.test.labels, read_table(artifact.file("predictions.parquet")).to_pylist()
    for number, run in enumerate(runs):
        said = rows[number * len(labels) : (number + 1) * len(labels)]
        found = sets(here, run, 0.8)
        assert [row["set_size"] for row in said] == found.sum(axis=1).tolist()
        assert [row["in_set"] for row in said] == found[np.arange(len(labels)), labels].tolist()
    for method in ("zero-shot", "tip-adapter"):
        row, found = result(artifact, method), np.stack([sets(here, run, 0.8) for run in runs if run.method == method])
        covered, sizes = found[:, np.arange(len(labels)), labels], found.sum(axis=2)
        assert row["coverage_promised"] == 80.0
        assert row["coverage_mean"] == pytest.approx(100 * covered.mean())
        assert row["coverage_ci95"][0] <= row["coverage_mean"] <= row["coverage_ci95"][1]
        assert row["set_size_mean"] == pytest.approx(sizes.mean())
        assert row["single_share"] == pytest.approx(100 * (sizes == 1).mean())
        by_class = [100 * covered[:, labels == label].mean() for label in range(5)]
        assert row["class_coverage"] == pytest.approx([*by_class, None])
        assert row["worst_coverage"] == pytest.approx(min(by_class))
        assert "kept apart" in row["sets_by"]
    with connect(here.world.store.root) as connection:
        told = connection.query("select distinct coverage_mean, coverage_low, coverage_high from runs where method = 'tip-adapter'")
    assert [list(one.values()) for one in told.to_pylist()] == [[row["coverage_mean"], *row["coverage_ci95"]]]


def test_too_few_kept_samples_for_the_promise_make_sets_of_all_classes(tmp_path: Path) -> None:
    here = Scene(tmp_path)
    row = result(here.evaluate([here.run("zero-shot", 1)], sets=0.99), "zero-shot")
    assert (row["coverage_mean"], row["set_size_mean"], row["single_share"]) == (100.0, 6.0, 0.0)
    assert "every set is all classes" in row["sets_by"]


def test_where_nothing_was_kept_apart_there_are_no_sets_and_it_is_said(tmp_path: Path) -> None:
    here = Scene(tmp_path)
    artifact = here.evaluate([here.run("zero-shot", 1), here.run("tip-adapter", 1, protocol="paper")])
    row = result(artifact, "tip-adapter")
    assert result(artifact, "zero-shot")["coverage_mean"] > 50.0
    assert {row[name] for name in SETS} == {None}
    assert row["coverage_promised"] == 90.0
    assert row["sets_by"] == NOTHING_KEPT
    rows = read_table(artifact.file("predictions.parquet")).to_pylist()
    assert [(row["set_size"], row["in_set"]) for row in rows if row["method"] == "tip-adapter"] == [(None, None)] * len(here.test.labels)
    assert all(row["set_size"] is not None for row in rows if row["method"] == "zero-shot")


def test_of_another_data_set_nothing_is_promised_and_no_class_that_it_lacks_is_in_a_set(tmp_path: Path) -> None:
    here = Scene(tmp_path)
    run = here.run("tip-adapter", 1)
    for level, sizes in ((0.8, {1, 2, 3, 4, 5}), (0.999, {5})):
        artifact = here.evaluate([run], target=True, sets=level)
        said = read_table(artifact.file("predictions.parquet"))["set_size"].to_pylist()
        assert set(said) <= sizes
        sets_by = result(artifact, "tip-adapter")["sets_by"]
        assert "nothing is promised" in sets_by
        assert "split conformal" not in sets_by
