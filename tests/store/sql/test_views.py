"""What the views show of every artifact: documented columns, rows that fit, and no row of a damaged artifact or another store."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.worlds.questions import CLASSES, add_images, built, rows
from xmap.store.artifacts.artifact import Artifact
from xmap.store.artifacts.identity import Identity
from xmap.store.disk.files import write_bytes
from xmap.store.formats.log import LATER, write_predictions
from xmap.store.formats.tables import read_table, write_table
from xmap.store.sql.columns import VIEWS
from xmap.store.sql.connection import Connection, connect


def types_of(connection: Connection, view: str) -> dict[str, str]:
    return {row["column_name"]: row["column_type"] for row in connection.query(f"DESCRIBE {view}").to_pylist()}


def test_an_empty_store_has_all_views_without_rows(tmp_path: Path) -> None:
    with connect(tmp_path / "nothing") as connection:
        for name in VIEWS:
            assert rows(connection, f"FROM {name}") == []


@pytest.mark.parametrize("view", VIEWS)
def test_columns_and_types_are_the_documented_ones_empty_and_filled(open_store: Connection, tmp_path: Path, view: str) -> None:
    documented = {name: kind for name, (kind, _) in VIEWS[view].columns.items()}

    def plain(kind: str) -> str:
        return kind.replace('"', "")

    with connect(tmp_path / "nothing") as empty:
        assert {name: plain(kind) for name, kind in types_of(empty, view).items()} == documented
    assert {name: plain(kind) for name, kind in types_of(open_store, view).items()} == documented
    assert rows(open_store, f"FROM {view}") != []
    assert all(meaning for _, meaning in VIEWS[view].columns.values())


def test_bad_images_are_rows_with_their_reason(open_store: Connection) -> None:
    row = open_store.query("from errors").to_pylist()[0]
    assert row.pop("artifact").startswith("images/")
    expected = {"sample_id": "a/9.jpg", "split": "train", "path": "a/9.JPG", "kind": "empty", "message": "the file has 0 bytes"}
    assert row == {**expected, "dataset": "pets"}


def test_samples_and_features(open_store: Connection, filled: tuple[Path, dict[str, Artifact]]) -> None:
    path = filled[1]["images"].path
    found = rows(open_store, "SELECT sample_id, split, label, class_name, dataset, artifact FROM samples ORDER BY split, sample_id")
    where = ("pets", f"images/{path.name}")
    assert found == [
        ("b/2.jpg", "test", 1, CLASSES[1], *where),
        ("a/1.jpg", "train", 0, "cat", *where),
        ("b/2.jpg", "train", 1, CLASSES[1], *where),
    ]
    assert rows(open_store, "SELECT count(*), sum(view), min(len(feature)) FROM features") == [(4, 1, 4)]
    assert rows(open_store, "SELECT DISTINCT list_cosine_similarity(feature, feature) FROM features") == [(1.0,)]


def test_affinity_predictions_and_neighbors(open_store: Connection) -> None:
    assert rows(open_store, "SELECT split, count(*) FROM affinity GROUP BY 1 ORDER BY 1") == [("test", 1), ("train", 1)]
    assert rows(open_store, "SELECT DISTINCT class_name, predicted_name, dataset FROM affinity") == [(CLASSES[1], "cat", "pets")]
    assert rows(open_store, "SELECT class_name, predicted_name, top5, zero_shot FROM predictions") == [(CLASSES[1], "cat", [0, 1], 1)]
    found = rows(open_store, "SELECT sample_id, rank, neighbor_id, neighbor_label FROM neighbors ORDER BY rank")
    assert found == [("b/2.jpg", 1, "b/3.jpg", 1), ("b/2.jpg", 2, "a/1.jpg", 0)]


def test_predictions_of_every_age_stand_in_one_view(tmp_path: Path) -> None:
    shared = {"run": "r", "method": "m", "seed": 1, "sample_id": ["a"], "label": np.array([0]), "predicted": np.array([1])}
    told = {"probability": np.array([0.5]), "raw_probability": np.array([0.25]), "set_size": np.array([2]), "in_set": np.array([True])}
    said = {"encoder_said": np.array([[1, 0]]), "encoder_share": np.array([[0.5, 0.5]])}

    def fill(folder: Path, lacking: tuple[str, ...]) -> None:
        path = folder / "predictions.parquet"
        write_predictions(path, {**shared, **told, **said}, "f")
        write_table(path, read_table(path).drop_columns(list(lacking)), "f")

    for name, lacking in {"oldest": LATER, "old": LATER[2:], "new": ()}.items():
        built(tmp_path, Identity("eval", name, {"name": name}), partial(fill, lacking=lacking), {})
    with connect(tmp_path) as connection:
        found = rows(
            connection, "SELECT split_part(artifact, '-', 1), raw_probability, set_size, in_set, encoder_said FROM predictions ORDER BY 1"
        )
    assert found == [("eval/new", 0.25, 2, True, [1, 0]), ("eval/old", 0.25, None, None, None), ("eval/oldest", 0.5, None, None, None)]


def test_artifacts_and_runs(open_store: Connection, filled: tuple[Path, dict[str, Artifact]]) -> None:
    made = filled[1]
    assert dict(rows(open_store, "SELECT stage, path FROM artifacts")) == {
        stage: f"{stage}/{item.path.name}" for stage, item in made.items()
    }
    size = sum(path.stat().st_size for path in made["images"].files())
    assert rows(open_store, "SELECT bytes, fingerprint FROM artifacts WHERE stage = 'images'") == [(size, made["images"].fingerprint)]
    found = rows(
        open_store, "SELECT run, method, seed, shots, accuracy, accuracy_low, accuracy_high, trials, dataset FROM runs ORDER BY seed"
    )
    shared = (40.0, 70.0, 9, "pets")
    assert found == [
        (made["adapter"].path.name, "xmadapter", 1, 4, 50.0, *shared),
        (made["eval"].path.name, "xmadapter", 2, 4, 60.0, *shared),
    ]
    joined = "SELECT DISTINCT stage FROM affinity JOIN artifacts USING (artifact) ORDER BY 1"
    assert rows(open_store, joined) == [("adapter",), ("eval",)]


@pytest.mark.parametrize("results", [None, "text", [1, None], [{}], [{"method": 3, "seeds": ["x", 2**70], "accuracies": [None]}]])
def test_odd_results_give_fewer_rows_or_nulls(tmp_path: Path, results: Any) -> None:
    built(tmp_path, Identity("eval", "odd", {}), lambda folder: write_bytes(folder / "metrics.json", b"[]"), {"results": results})
    with connect(tmp_path) as connection:
        assert all(row[1:4] == (None, None, None) for row in rows(connection, "FROM runs"))


def test_results_are_found_in_metrics_json(tmp_path: Path) -> None:
    metrics = b'{"results": [{"method": "zero-shot", "seeds": [1], "accuracies": [61]}]}'
    built(tmp_path, Identity("eval", "x", {}), lambda folder: write_bytes(folder / "metrics.json", metrics), {})
    with connect(tmp_path) as connection:
        assert rows(connection, "SELECT method, seed, accuracy FROM runs") == [("zero-shot", 1, 61.0)]


def test_artifacts_of_other_widths_and_precisions_stand_in_one_view(tmp_path: Path) -> None:
    add_images(tmp_path, "wide", np.float32, 8)
    add_images(tmp_path, "half", np.float16, 4)
    with connect(tmp_path) as connection:
        assert rows(connection, "SELECT dataset, max(len(feature)) FROM features GROUP BY 1 ORDER BY 1") == [("half", 4), ("wide", 8)]


@pytest.mark.parametrize("file", ["test-00000.parquet", "manifest.json"])
def test_a_damaged_artifact_is_left_out_and_named_and_hides_no_other(tmp_path: Path, file: str) -> None:
    artifact = add_images(tmp_path)
    other = add_images(tmp_path, name="other")
    (artifact.path / file).write_bytes(b"")
    with connect(tmp_path) as connection:
        (damage,) = connection.damaged
        assert f"{file} is damaged" in str(damage)
        assert rows(connection, "SELECT name FROM artifacts") == [("other",)]
        assert rows(connection, "SELECT DISTINCT artifact FROM samples") == [(f"images/{other.path.name}",)]


@pytest.mark.parametrize(
    "name", ["it's", 'a"b', "a;b", "sp ace", "*", "[x]", "?", "[!a]", "label=5", "\u05d0\U0001f600", "-x", "a\nb", "{a,b}", "b\\x"]
)
def test_any_store_path_works_and_reads_its_own_files_alone(tmp_path: Path, name: str) -> None:
    for decoy in ("x", "b", "zz"):
        add_images(tmp_path / decoy, "decoy")
    add_images(tmp_path / name)
    with connect(tmp_path / name) as connection:
        assert rows(connection, "SELECT DISTINCT dataset FROM samples") == [("pets",)]
        assert rows(connection, "SELECT max(label) FROM samples") == [(1,)]
