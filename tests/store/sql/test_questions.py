"""The ready questions on a hand-made log whose answers are known, and on an empty store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xmap.store.artifacts.artifact import Draft, Store
from xmap.store.artifacts.identity import Identity
from xmap.store.formats.log import NeighborColumn, write_affinity, write_predictions
from xmap.store.sql.connection import Connection, connect
from xmap.store.sql.questions import QUESTIONS

CLASSES = ["ant", "bee"]
IDS = ["ant/1", "ant/2", "bee/3", "bee/4"]
LABELS = np.array([0, 0, 1, 1])


def log(**columns: Any) -> dict[str, Any]:
    return {"method": "xmadapter", "seed": 1, "sample_id": IDS, "label": LABELS, "predicted": LABELS, **columns}


def neighbors() -> NeighborColumn:
    """Each sample's nearest: for `bee/3` an ant, for the others their own class."""
    return NeighborColumn(np.array([[1], [0], [0], [2]]), np.ones((4, 1), np.float32), IDS, LABELS)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("asked")
    with Store(root).build(Identity("adapter", "toy", {})) as held:
        assert isinstance(held, Draft)
        (held.path / "affinity").mkdir()
        epochs = np.repeat([1, 2], 4)
        weights = np.array([1.0, 1.0, 1.0, 1.0, 0.5, 1.0, 2.5, 1.0])
        trained = log(sample_id=[f"train/{name}" for name in IDS * 2], label=np.tile(LABELS, 2), predicted=np.tile(LABELS, 2))
        training = {"run": "r", "split": "train", "epoch": epochs, "weight": weights}
        write_affinity(held.path / "affinity/train.parquet", {**trained, **training}, "f")
        held.commit({"classes": CLASSES, "dataset": "toy"})
    with Store(root).build(Identity("eval", "toy", {})) as held:
        assert isinstance(held, Draft)
        (held.path / "affinity").mkdir()
        scored = {
            "run": "r",
            "split": "test",
            "epoch": 0,
            "predicted": np.array([0, 0, 0, 1]),
            "gamma": np.array([0.2, 0.4, 0.5, 0.7]),
            "affinity_image": np.array([1.0, 1.0, 3.0, 3.0]),
            "affinity_text": np.array([3.0, 3.0, 1.0, 1.0]),
            "difference": np.array([0.1, 0.2, 0.9, 0.3]),
            "margin": np.array([2.0, 1.0, -1.0, 1.0]),
            "zero_shot_correct": np.array([True, False, True, False]),
            "correct": np.array([True, True, False, True]),
            "neighbor_agreement": np.array([1.0, 1.0, 0.0, 1.0]),
            "neighbors": neighbors(),
        }
        write_affinity(held.path / "affinity/test.parquet", log(**scored), "f")
        said = {"run": "r", "predicted": scored["predicted"], "probability": np.array([0.6, 0.7, 0.9, 0.8])}
        write_predictions(held.path / "predictions.parquet", log(**said, true_probability=np.array([0.6, 0.7, 0.04, 0.8])), "f")
        held.commit({"classes": CLASSES, "dataset": "toy"})
    return root


@pytest.fixture
def opened(store: Path) -> Iterator[Connection]:
    with connect(store) as connection:
        yield connection


def ask(connection: Connection, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = connection.query(QUESTIONS[name].sql).to_pylist()
    return rows


def test_the_hardest_sample_is_the_one_of_largest_disagreement(opened: Connection) -> None:
    assert [row["sample_id"] for row in ask(opened, "hardest-samples")] == ["bee/3", "bee/4", "ant/2", "ant/1"]


def test_each_side_beats_the_other_where_it_is_ahead(opened: Connection) -> None:
    assert [row["class_name"] for row in ask(opened, "text-beats-image")] == ["ant"]
    assert [row["class_name"] for row in ask(opened, "image-beats-text")] == ["bee"]


def test_the_weight_that_rose_is_found(opened: Connection) -> None:
    assert [(row["sample_id"], row["rise"]) for row in ask(opened, "rising-weights")] == [("train/bee/3", 1.5)]


def test_the_confusion_is_found_with_its_share_of_the_class(opened: Connection) -> None:
    (row,) = ask(opened, "confusions")
    assert (row["class_name"], row["predicted_name"], row["mistakes_a_seed"], row["percent_of_class"]) == ("bee", "ant", 1.0, 50.0)


def test_the_suspect_label_is_found_with_what_it_is_taken_for(opened: Connection) -> None:
    (row,) = ask(opened, "label-suspects")
    assert (row["sample_id"], row["label"], row["likely"], row["runs"]) == ("bee/3", "bee", "ant", 1)
    assert (row["percent"], row["neighbors_percent"]) == (pytest.approx(4.0), 0.0)


def test_the_cached_image_that_misled_is_found_with_what_it_had_right(opened: Connection) -> None:
    """`bee/3` was called an ant beside `ant/1`, as `ant/2` was rightly; who supported right answers alone misleads nobody."""
    (row,) = ask(opened, "misleading")
    assert (row["sample_id"], row["class_name"], row["instead_of"], row["mistakes"], row["right_answers"]) == ("ant/1", "ant", "bee", 1, 1)


def test_gamma_is_averaged_by_class(opened: Connection) -> None:
    assert [(row["class_name"], row["gamma"]) for row in ask(opened, "gamma-by-class")] == [("bee", 0.6), ("ant", 0.3)]


def test_what_the_adapter_fixed_and_what_it_was_sure_of(opened: Connection) -> None:
    assert [row["sample_id"] for row in ask(opened, "fixed-by-the-adapter")] == ["ant/2", "bee/4"]
    assert [(row["sample_id"], row["percent"]) for row in ask(opened, "confident-mistakes")] == [("bee/3", pytest.approx(90.0))]


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_question_is_answered_by_an_empty_store(name: str, tmp_path: Path) -> None:
    with connect(tmp_path) as connection:
        assert ask(connection, name) == []
