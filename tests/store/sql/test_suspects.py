"""Which labels are suspects: by what never learned them, and in stores of before by their neighbours alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xmap.store.artifacts.artifact import Draft, Store
from xmap.store.artifacts.identity import Identity
from xmap.store.formats.log import OUT_OF_SAMPLE_TABLE, write_affinity, write_out_of_sample, write_predictions
from xmap.store.sql.connection import connect
from xmap.store.sql.questions import QUESTIONS

CLASSES = ["ant", "bee", "cat"]
IDS = ["a/1", "a/2", "b/3", "b/4"]
LABELS = np.array([0, 0, 1, 1])


def add_adapter(root: Path, name: str, probabilities: list[float] | None, agreement: list[float], likely: Any = 1 - LABELS) -> None:
    """An adapter on four images, without `probabilities` as an xmap of before left it."""
    with Store(root).build(Identity("adapter", name, {})) as held:
        assert isinstance(held, Draft)
        own = {"run": name, "method": "m", "seed": 1, "split": "train", "sample_id": IDS, "label": LABELS}
        seen = {"epoch": 0, "predicted": LABELS, "neighbor_agreement": np.asarray(agreement)}
        write_affinity(held.path / "affinity/train.parquet", {**own, **seen}, "f")
        if probabilities is not None:
            chance = np.asarray(probabilities)
            said = {"label_probability": chance, "likely": likely, "likely_probability": 1 - chance}
            write_out_of_sample(held.path / OUT_OF_SAMPLE_TABLE, {**own, **said}, "f")
        held.commit({"classes": CLASSES, "dataset": "toy"})


def asked(root: Path, name: str = "label-suspects") -> list[dict[str, Any]]:
    with connect(root) as connection:
        rows: list[dict[str, Any]] = connection.query(QUESTIONS[name].sql).to_pylist()
        return rows


def test_the_least_probable_labels_come_first_whatever_their_neighbours_are(tmp_path: Path) -> None:
    add_adapter(tmp_path, "one", [0.0312, 0.5, 0.9, 1e-9], [1.0, 0.0, 1.0, 0.2])
    add_adapter(tmp_path, "two", [0.0312, 0.5, 0.9, 0.04], [0.5, 0.0, 1.0, 0.0])
    rows = asked(tmp_path)
    assert [(row["sample_id"], row["label"], row["likely"], row["runs"]) for row in rows] == [
        ("b/4", "bee", "ant", 2),
        ("a/1", "ant", "bee", 2),
    ]
    assert [row["percent"] for row in rows] == [pytest.approx(2.01), pytest.approx(3.12)], "rounded up: no label is impossible"
    assert [row["neighbors_percent"] for row in rows] == [10.0, 75.0]


def test_a_store_of_before_is_asked_by_its_neighbours(tmp_path: Path) -> None:
    add_adapter(tmp_path, "old", None, [1.0, 0.0, 0.2, 1.0])
    (row,) = asked(tmp_path)
    assert (row["sample_id"], row["label"], row["likely"], row["percent"], row["neighbors_percent"]) == ("a/2", "ant", "ant", None, 0.0)


def test_of_equally_frequent_answers_the_same_is_given_each_time(tmp_path: Path) -> None:
    """Without an order it is the one that a thread came upon first."""
    for question in QUESTIONS.values():
        assert len(re.findall(r"(?:mode|first)\(", question.sql)) == len(re.findall(r"(?:mode|first)\(\S+ order by", question.sql))
    for name, likely in (("one", 0), ("two", 2), ("three", 0), ("four", 2)):
        add_adapter(tmp_path, name, [0.01 * (1 + likely), 0.5, 0.5, 0.5], [0.0, 1.0, 1.0, 1.0], np.array([likely, 0, 0, 0]))
    assert {asked(tmp_path)[0]["likely"] for _ in range(5)} == {"ant"}, "that of the surer ones"


def test_certainty_is_stated_by_no_question(tmp_path: Path) -> None:
    with Store(tmp_path).build(Identity("eval", "toy", {})) as held:
        assert isinstance(held, Draft)
        own = {"run": "r", "method": "m", "seed": 1, "sample_id": IDS[:2], "label": LABELS[:2], "predicted": np.array([1, 1])}
        said = {"probability": np.array([0.99999, 0.75]), "true_probability": np.array([1e-8, 0.25])}
        write_predictions(held.path / "predictions.parquet", {**own, **said}, "f")
        held.commit({"classes": CLASSES, "dataset": "toy"})
    rows = [(row["percent"], row["true_percent"]) for row in asked(tmp_path, "confident-mistakes")]
    assert rows == [(pytest.approx(99.9), pytest.approx(0.1)), (pytest.approx(75.0), pytest.approx(25.0))]
    assert [row["sample_id"] for row in asked(tmp_path)] == ["a/1"], "test images too"
