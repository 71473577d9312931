"""The logs of an evaluation are held against its results before a page is made of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.worlds.questions import built
from xmap.stages.report.logs import require_logs
from xmap.store.artifacts.artifact import Artifact
from xmap.store.artifacts.identity import Identity
from xmap.store.errors import ArtifactDamaged
from xmap.store.formats.log import LATER, write_affinity, write_predictions
from xmap.store.formats.tables import read_table, write_table


def evaluation(root: Path, set_size: int, lacking: tuple[str, ...] = ()) -> Artifact:
    """One answer among three classes, with a prediction set of some size."""
    shared = {"run": "r", "method": "m", "seed": 1, "sample_id": ["a"], "label": np.array([0]), "predicted": np.array([1])}
    said = {"probability": np.array([0.5]), "set_size": np.array([set_size]), "top5": np.array([[1, 0]])}

    def fill(folder: Path) -> None:
        path = folder / "predictions.parquet"
        write_predictions(path, {**shared, **said}, "f")
        table = read_table(path)
        # Some are there only where several encoders are.
        write_table(path, table.drop_columns([name for name in lacking if name in table.column_names]), "f")
        write_affinity(folder / "affinity" / "test.parquet", {**shared, "split": "test", "epoch": 0}, "f")

    result = {"method": "m", "seeds": [1]}
    return built(root, Identity("eval", "x", {"size": set_size}), fill, {"results": [result], "samples": 1})


def test_sets_have_no_more_classes_than_there_are(tmp_path: Path) -> None:
    require_logs(evaluation(tmp_path, 3), 3)
    for size in (-1, 4):
        with pytest.raises(ArtifactDamaged, match="its prediction sets are not of 0 to 3 classes"):
            require_logs(evaluation(tmp_path, size), 3)


@pytest.mark.failure("old store")
def test_logs_of_before_lack_what_was_not_measured_then(tmp_path: Path) -> None:
    require_logs(evaluation(tmp_path, 3, LATER), 3)
