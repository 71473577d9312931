"""Which training images a report shows as suspects: those of improbable labels, the surest first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xmap.stages.report.samples import misleading, suspects
from xmap.store.artifacts.artifact import Draft, Store
from xmap.store.artifacts.identity import Identity
from xmap.store.formats.log import OUT_OF_SAMPLE_TABLE, NeighborColumn, write_affinity, write_out_of_sample
from xmap.store.sql.connection import connect

IDS = ["a", "b", "c", "d"]
LABELS = np.array([0, 0, 1, 2])


def write_adapter(root: Path, name: str, agreement: list[float], chances: list[float] | None = None) -> str:
    """An adapter of two epochs, whose samples have their neighbours in the last; its path."""
    with Store(root).build(Identity("adapter", name, {})) as held:
        assert isinstance(held, Draft)
        (held.path / "affinity").mkdir()
        keys = np.array([[-1, -1]] * 4 + [[2, 3], [0, 2], [1, 1], [0, 2]])
        epochs = {
            "epoch": np.repeat([1, 2], 4),
            "margin": np.array([-1.0, 3.0, -2.0, 1.0] * 2),
            "neighbor_agreement": np.array(agreement * 2),
        }
        own = {"run": name, "method": "m", "seed": 1, "split": "train", "sample_id": IDS * 2, "label": np.tile(LABELS, 2)}
        near = NeighborColumn(keys, np.ones((8, 2), np.float32), IDS, LABELS)
        write_affinity(held.path / "affinity/train.parquet", {**own, **epochs, "predicted": np.tile(LABELS, 2), "neighbors": near}, "f")
        if chances is not None:
            own = {"run": name, "method": "m", "seed": 1, "split": "train", "sample_id": IDS, "label": LABELS}
            said = {"label_probability": np.asarray(chances), "likely": np.array([2, 0, 1, 2]), "likely_probability": np.full(4, 0.5)}
            write_out_of_sample(held.path / OUT_OF_SAMPLE_TABLE, {**own, **said}, "f")
        return f"adapter/{held.commit({'classes': ['x', 'y', 'z'], 'dataset': 'toy'}).path.name}"


def test_suspects_are_among_other_classes_in_every_adapter(tmp_path: Path) -> None:
    one, other = write_adapter(tmp_path, "one", [0.0, 0.5, 0.0, 0.0]), write_adapter(tmp_path, "other", [0.0, 0.0, 0.0, 0.5])
    with connect(tmp_path) as connection:
        rows = suspects(connection, [one, other], 10)
        assert rows == [
            {"sample": "c", "label": 1, "probability": None, "near": [0]},
            {"sample": "a", "label": 0, "probability": None, "near": [1, 2]},
        ]
        assert suspects(connection, [one, other], 1) == rows[:1]
        assert [row["sample"] for row in suspects(connection, [one], 10)] == ["c", "a", "d"]
        assert suspects(connection, [], 10) == []


def test_improbable_labels_are_suspects_with_the_likeliest_class_first(tmp_path: Path) -> None:
    path = write_adapter(tmp_path, "one", [0.5, 0.0, 0.0, 0.0], [0.01, 0.9, 0.9, 0.001])
    with connect(tmp_path) as connection:
        rows = suspects(connection, [path], 10)
    assert [(row["sample"], row["label"], row["near"]) for row in rows] == [("d", 2, [0, 1]), ("a", 0, [2, 1])]
    assert [row["probability"] for row in rows] == [pytest.approx(0.001), pytest.approx(0.01)]


def test_cached_images_that_mislead_are_counted_by_the_answers_they_supported(tmp_path: Path) -> None:
    """Three images of y: two called x beside `a`, once beside `b` too; one of x rightly called x beside `a`."""
    with Store(tmp_path).build(Identity("eval", "toy", {})) as held:
        assert isinstance(held, Draft)
        (held.path / "affinity").mkdir()
        label, predicted = np.array([1, 1, 0, 1]), np.array([0, 0, 0, 1])
        own = {"run": "r", "method": "m", "seed": 1, "split": "test", "epoch": 0, "sample_id": ["p", "q", "r", "s"], "label": label}
        said = {"predicted": predicted, "correct": label == predicted, "affinity_image": np.ones(4)}
        near = NeighborColumn(np.array([[0, 2], [0, 1], [0, 3], [2, 1]]), np.ones((4, 2), np.float32), IDS, LABELS)
        write_affinity(held.path / "affinity/test.parquet", {**own, **said, "neighbors": near}, "f")
        path = f"eval/{held.commit({'classes': ['x', 'y', 'z'], 'dataset': 'toy'}).path.name}"
    with connect(tmp_path) as connection:
        rows = misleading(connection, path, 10)
        assert rows == [
            {"sample": "a", "label": 0, "wrong": 2, "right": 1, "taken": 1},
            {"sample": "b", "label": 0, "wrong": 1, "right": 0, "taken": 1},
        ]
        assert misleading(connection, path, 1) == rows[:1]
