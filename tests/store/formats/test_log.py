"""The logs hold what was given, column by column, with null where there is nothing to say."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from xmap.store.errors import ArtifactDamaged, InputError
from xmap.store.formats.log import (
    AFFINITY,
    OF_ENCODERS,
    PREDICTIONS,
    NeighborColumn,
    read_values,
    write_affinity,
    write_predictions,
    write_values,
)
from xmap.store.formats.tables import read_footer, read_table


def columns(rows: int = 3, **changed: Any) -> dict[str, Any]:
    given = {
        "run": "pets-xmadapter",
        "method": "xmadapter",
        "seed": 1,
        "split": "test",
        "epoch": 0,
        "sample_id": [f"{row}.jpg" for row in range(rows)],
        "label": np.arange(rows),
        "predicted": np.zeros(rows, np.int64),
        "gamma": np.float32(0.5),
        "affinity_image": np.linspace(0, 1, rows),
        "correct": np.arange(rows) == 0,
    }
    return {name: value for name, value in {**given, **changed}.items() if value is not ...}


def test_affinity_comes_back_with_its_types_and_nulls(tmp_path: Path) -> None:
    write_affinity(tmp_path / "affinity" / "test.parquet", columns(affinity_text=np.array([np.nan, 0.25, np.nan])), "f" * 64)
    back = read_table(tmp_path / "affinity" / "test.parquet")
    assert back.schema.types == AFFINITY.types
    assert back.column_names == AFFINITY.names
    assert back["gamma"].to_pylist() == [0.5] * 3
    assert back["affinity_text"].to_pylist() == [None, 0.25, None]
    assert back["correct"].to_pylist() == [True, False, False]
    assert back["loss"].null_count == back["neighbors"].null_count == 3
    assert read_footer(tmp_path / "affinity" / "test.parquet")["xmap.fingerprint"] == "f" * 64
    assert read_table([tmp_path / "affinity" / "test.parquet"] * 2, ["label"]).num_rows == 6


def test_neighbors_stand_best_first_and_end_where_none_was_found(tmp_path: Path) -> None:
    neighbors = NeighborColumn(
        np.array([[2, 0], [1, -1], [-1, -1]]),
        np.array([[0.9, 0.5], [0.25, -np.inf], [-np.inf, -np.inf]]),
        ["a", "b", "c"],
        np.array([0, 1, 1]),
    )
    write_affinity(tmp_path / "a", columns(neighbors=neighbors), "f")
    found = read_table(tmp_path / "a")["neighbors"].to_pylist()
    assert [[(entry["sample_id"], entry["label"]) for entry in row] for row in found] == [[("c", 1), ("a", 0)], [("b", 1)], []]
    assert found[0][0]["affinity"] == pytest.approx(0.9)


def test_no_row_is_a_table_too(tmp_path: Path) -> None:
    empty = NeighborColumn(np.empty((0, 5), np.int64), np.empty((0, 5), np.float32), [], np.empty(0, np.int32))
    write_affinity(tmp_path / "a", columns(0, neighbors=empty), "f")
    assert read_table(tmp_path / "a").num_rows == 0


def test_equal_columns_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_affinity(tmp_path / name, columns(), "f")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"sample_id": ...}, "sample_id is missing"),
        ({"label": None}, "label is missing"),
        ({"gama": 1.0}, "unknown column gama"),
        ({"label": np.arange(2)}, "one length"),
        ({"label": np.array([1.5, 2, 3])}, "column label does not hold int32"),
        ({"sample_id": [1, 2, 3]}, "column sample_id does not hold string"),
        ({"label": np.array([2**40, 0, 0])}, "column label does not hold int32"),
        ({"neighbors": NeighborColumn(np.zeros((3, 2), int), np.zeros((3, 1)), ["a"], np.zeros(1))}, "matrices of one shape"),
    ],
)
def test_a_wrong_column_is_one_sentence(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        write_affinity(tmp_path / "a", columns(**changed), "f")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("column", ["label", "predicted", "sample_id"])
def test_a_hole_in_a_column_that_must_be_full_is_refused(tmp_path: Path, column: str) -> None:
    hole: Any = ["a", None, "c"] if column == "sample_id" else np.array([0.0, np.nan, 1.0])
    with pytest.raises(InputError, match=f"column {column}"):
        write_affinity(tmp_path / "a", columns(**{column: hole}), "f")


def test_predictions_come_back(tmp_path: Path) -> None:
    given = {name: value for name, value in columns().items() if name in PREDICTIONS.names}
    top5 = np.array([[0, 1, 2], [2, 1, 0], [1, 0, 2]])
    write_predictions(tmp_path / "a", {**given, "probability": np.full(3, 0.7), "zero_shot": np.arange(3), "top5": top5}, "f")
    back = read_table(tmp_path / "a")
    assert back.schema.names == [name for name in PREDICTIONS.names if name not in OF_ENCODERS], "as before there were several encoders"
    said = {"encoder_said": np.array([[0, 1], [1, 1], [2, 0]]), "encoder_share": np.full((3, 2), 0.5, np.float32)}
    write_predictions(tmp_path / "b", {**given, **said}, "f")
    assert read_table(tmp_path / "b").schema.types == PREDICTIONS.types
    assert read_table(tmp_path / "b")["encoder_said"].to_pylist() == [[0, 1], [1, 1], [2, 0]]
    assert back["top5"].to_pylist() == top5.tolist()
    assert back["true_probability"].null_count == 3


def test_values_come_back(tmp_path: Path) -> None:
    write_values(tmp_path / "values.parquet", ["x/1.jpg", "it's [*].png"], np.array([1, 0]), ["cat", "<b>"], "f")
    back = read_values(tmp_path / "values.parquet")
    assert (back.sample_ids, back.labels.tolist(), back.class_names) == (("x/1.jpg", "it's [*].png"), [1, 0], ("<b>", "cat"))
    assert back.labels.dtype == np.int32
    assert len(back) == 2


@pytest.mark.parametrize("labels", [[0, 2], [-1, 0]])
def test_a_label_without_a_class_is_refused(tmp_path: Path, labels: list[int]) -> None:
    with pytest.raises(InputError, match="do not fit 2 class names"):
        write_values(tmp_path / "a", ["x", "y"], np.array(labels), ["cat", "dog"], "f")


def test_a_table_of_another_kind_is_damage(tmp_path: Path) -> None:
    write_affinity(tmp_path / "a", columns(), "f")
    with pytest.raises(ArtifactDamaged, match="no column row"):
        read_values(tmp_path / "a")


def test_many_rows_cost_no_python_object_each(tmp_path: Path) -> None:
    rows = 200_000
    draw = np.random.default_rng(0)
    neighbors = NeighborColumn(
        draw.integers(0, 1000, (rows, 5)), draw.random((rows, 5)), [f"support/{row}" for row in range(1000)], np.zeros(1000, int)
    )
    ids = pa.array(np.arange(rows)).cast(pa.string())
    started = time.perf_counter()
    write_affinity(tmp_path / "a", {**columns(rows), "sample_id": ids, "neighbors": neighbors}, "f")
    assert time.perf_counter() - started < 8
    assert read_table(tmp_path / "a", ["label"]).num_rows == rows
