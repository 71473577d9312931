"""Which training images a report shows as suspects: those among other classes only, the surest first."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xmap.stages.report.samples import suspects
from xmap.store.artifacts.artifact import Draft, Store
from xmap.store.artifacts.identity import Identity
from xmap.store.formats.log import NeighborColumn, write_affinity
from xmap.store.sql.connection import connect

IDS = ["a", "b", "c", "d"]
LABELS = np.array([0, 0, 1, 2])


def write_adapter(root: Path, name: str, agreement: list[float]) -> str:
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
        return f"adapter/{held.commit({'classes': ['x', 'y', 'z'], 'dataset': 'toy'}).path.name}"


def test_suspects_are_among_other_classes_in_every_adapter(tmp_path: Path) -> None:
    one, other = write_adapter(tmp_path, "one", [0.0, 0.5, 0.0, 0.0]), write_adapter(tmp_path, "other", [0.0, 0.0, 0.0, 0.5])
    with connect(tmp_path) as connection:
        rows = suspects(connection, [one, other], 10)
        assert rows == [{"sample": "c", "label": 1, "near": [0]}, {"sample": "a", "label": 0, "near": [1, 2]}]
        assert suspects(connection, [one, other], 1) == rows[:1]
        assert [row["sample"] for row in suspects(connection, [one], 10)] == ["c", "a", "d"]
        assert suspects(connection, [], 10) == []
