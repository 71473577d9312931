"""The stage eval, on real files, against the formulas written out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.worlds.evaluation import Scene
from tests.worlds.few_shot import unit
from xmap.stages.eval import metrics
from xmap.stages.eval.metrics import calibration_error
from xmap.stages.eval.scoring import Run
from xmap.stages.methods.registry import METHODS
from xmap.store.artifacts.artifact import Artifact
from xmap.store.errors import InputError
from xmap.store.formats.features import ImageFeatures, read_images
from xmap.store.formats.index import VectorIndex
from xmap.store.formats.log import read_values
from xmap.store.formats.tables import read_table
from xmap.store.sql.connection import connect
from xmap.store.sql.questions import QUESTIONS


def results(artifact: Artifact) -> dict[str, dict[str, Any]]:
    return {row["method"]: row for row in artifact.summary["results"]}


def test_a_row_a_method_in_the_order_of_the_runs(tmp_path: Path) -> None:
    here = Scene(tmp_path)
    runs = [here.run(method, seed) for seed in (1, 2, 3) for method in ("zero-shot", "tip-adapter", "tip-adapter-f")]
    artifact = here.evaluate(runs)
    rows = artifact.summary["results"]
    assert [row["method"] for row in rows] == ["zero-shot", "tip-adapter", "tip-adapter-f"]
    for row in rows:
        assert (row["shots"], row["seeds"], len(row["accuracies"])) == (3, [1, 2, 3], 3)
        assert row["accuracy_ci95"][0] <= row["accuracy_mean"] <= row["accuracy_ci95"][1]
        assert row["ms_per_query"] > 0
        assert row["per_class"][5] is None
    assert rows[1]["ci_kind"] == "student-t over seeds"
    assert (rows[1]["trainable_parameters"], rows[2]["trainable_parameters"]) == (0, 18 * 8)
    assert rows[1]["selected_on"] == "validation, up to 3 a class"
    assert json.loads(artifact.file("metrics.json").read_text())["results"] == rows
    assert [(row["method"], row["against"]) for row in artifact.summary["differences"]] == [
        ("tip-adapter", "zero-shot"),
        ("tip-adapter-f", "zero-shot"),
        ("tip-adapter-f", "tip-adapter"),
    ]


def assert_best_classes(predictions: list[dict[str, Any]], log: list[dict[str, Any]]) -> None:
    """The affinities of the best classes are those of the log where the true class is among them; null for absent caches."""
    for row, logged in zip(predictions, log, strict=True):
        for side in ("image", "text"):
            values = row[f"top5_{side}"]
            assert len(values) == len(row["top5"])
            if logged[f"affinity_{side}"] is None:
                assert set(values) == {None}
            elif row["label"] in row["top5"]:
                assert values[row["top5"].index(row["label"])] == logged[f"affinity_{side}"]


def test_numbers_follow_from_the_formulas(tmp_path: Path) -> None:
    here = Scene(tmp_path)
    runs = [here.run(method, seed) for method in ("zero-shot", "tip-adapter") for seed in (1, 2)]
    artifact = here.evaluate(runs)
    labels = here.test.labels
    for method, row in results(artifact).items():
        logits = [here.logits(run) for run in runs if run.method == method]
        correct = np.stack([found.argmax(axis=1) == labels for found in logits])
        assert row["accuracy_mean"] == pytest.approx(100 * correct.mean())
        assert row["accuracies"] == pytest.approx(list(100 * correct.mean(axis=1)))
        hits = [np.mean([label in np.argsort(-line)[:5] for line, label in zip(found, labels, strict=True)]) for found in logits]
        assert row["top5_mean"] == pytest.approx(100 * np.mean(hits))
        for label in range(5):
            assert row["per_class"][label] == pytest.approx(100 * correct[:, labels == label].mean())
    predictions = read_table(artifact.file("predictions.parquet"))
    expected = np.concatenate([here.logits(run).argmax(axis=1) for run in runs])
    assert predictions["predicted"].to_pylist() == expected.tolist()
    assert predictions["sample_id"].to_pylist() == list(here.test.sample_ids) * 4
    assert [row[0] for row in predictions["top5"].to_pylist()] == expected.tolist()
    assert [row[0] for row in predictions["top5_probability"].to_pylist()] == predictions["probability"].to_pylist()
    assert_best_classes(predictions.to_pylist(), read_table(artifact.file("affinity/test.parquet")).to_pylist())
    temperature = runs[-1].adapter.summary["calibration"]["temperature"]
    assert temperature != 1.0
    for prefix, scale in (("", temperature), ("raw_", 1.0)):
        chances = np.exp(here.logits(runs[-1]) / scale)
        chances /= chances.sum(axis=1, keepdims=True)
        for column, expected in (
            (f"{prefix}true_probability", chances[np.arange(len(labels)), labels]),
            (f"{prefix}probability", chances.max(1)),
        ):
            np.testing.assert_allclose(predictions[column].to_numpy()[-len(labels) :], expected, rtol=1e-3)


def test_calibration_and_class_measures_follow_from_the_predictions(tmp_path: Path) -> None:
    here = Scene(tmp_path)
    run = here.run("tip-adapter", 1)
    artifact = here.evaluate([run])
    row, labels, logits = results(artifact)["tip-adapter"], here.test.labels, here.logits(run)
    assert row["temperatures"] == [run.adapter.summary["calibration"]["temperature"]]
    for prefix, scale in (("", row["temperatures"][0]), ("raw_", 1.0)):
        chances = np.exp(logits / scale) / np.exp(logits / scale).sum(axis=1, keepdims=True)
        assert row[f"{prefix}log_loss_mean"] == pytest.approx(-np.log(chances[np.arange(len(labels)), labels]).mean(), rel=1e-4)
        assert row[f"{prefix}ece_mean"] == pytest.approx(100 * calibration_error(chances.max(1), logits.argmax(1) == labels, 15), abs=1e-3)
    chances = np.exp(logits / row["temperatures"][0]) / np.exp(logits / row["temperatures"][0]).sum(axis=1, keepdims=True)
    assert row["brier_mean"] == pytest.approx(((chances - np.eye(6)[labels]) ** 2).sum(1).mean(), rel=1e-4)
    assert row["class_samples"] == np.bincount(labels, minlength=6).tolist()
    assert row["largest_share"] == pytest.approx(100 * np.bincount(labels).max() / len(labels))
    assert row["balanced_accuracy_mean"] == pytest.approx(np.mean(row["per_class"][:5]))


def test_the_affinity_log_explains_each_sample(tmp_path: Path) -> None:
    here = Scene(tmp_path)
    run = here.run("tip-adapter", 1)
    artifact = here.evaluate([run], neighbors=4)
    log = read_table(artifact.files(prefix="affinity/")).to_pylist()
    values = read_values(run.cache.file("values.parquet"))
    cosines = unit(here.test.features) @ VectorIndex.load(run.cache.file("image.faiss")).keys().T
    affinity = np.exp(-run.adapter.summary["settings"]["beta"] * (1 - cosines))
    for number, row in enumerate(log):
        nearest = np.argsort(-cosines[number])[:4]
        assert (row["split"], row["epoch"], row["run"]) == ("test", 0, run.adapter.path.name)
        assert [found["sample_id"] for found in row["neighbors"]] == [values.sample_ids[key] for key in nearest]
        assert [found["affinity"] for found in row["neighbors"]] == pytest.approx(affinity[number, nearest].tolist(), rel=1e-3)
        assert row["neighbor_agreement"] == pytest.approx(np.mean(values.labels[nearest] == row["label"]))
        assert row["affinity_image"] == pytest.approx(affinity[number, values.labels == row["label"]].sum(), rel=1e-3)
        assert row["correct"] == (row["predicted"] == row["label"])
        assert row["weight"] is None


def test_neighbors_of_each_seed_come_from_its_own_support(tmp_path: Path) -> None:
    here = Scene(tmp_path)
    runs = [here.run(method, seed) for method in ("zero-shot", "tip-adapter") for seed in (1, 2)]
    log = read_table(here.evaluate(runs).files(prefix="affinity/")).to_pylist()
    for run in runs:
        allowed = set(read_values(run.cache.file("values.parquet")).sample_ids)
        found = {near["sample_id"] for row in log if row["run"] == run.adapter.path.name for near in row["neighbors"]}
        assert found
        assert found <= allowed


def test_all_retrieved_keys_are_the_dense_formula(tmp_path: Path) -> None:
    here = Scene(tmp_path)
    runs = [here.run(method, 1) for method in ("tip-adapter", "tip-adapter-f", "zero-shot")]
    dense, sparse, few = (here.evaluate(runs, top_k=k) for k in ("all", 18, 1))
    chances = [read_table(found.file("predictions.parquet"))["probability"].to_numpy() for found in (dense, sparse, few)]
    np.testing.assert_allclose(chances[0], chances[1], atol=1e-5)
    assert np.abs(chances[0] - chances[2]).max() > 1e-3
    assert results(dense)["zero-shot"]["accuracy_mean"] == results(few)["zero-shot"]["accuracy_mean"]


def test_with_a_fixed_support_samples_are_resampled(tmp_path: Path) -> None:
    here = Scene(tmp_path, fixed=True)
    artifact = here.evaluate([here.run(method, seed) for method in ("tip-adapter", "tip-adapter-f") for seed in (1, 2)])
    assert {row["ci_kind"] for row in artifact.summary["results"]} == {"bootstrap over test samples"}
    for row in artifact.summary["results"]:
        assert row["accuracy_ci95"][0] < row["accuracy_mean"] < row["accuracy_ci95"][1]


def test_one_seed_or_no_use_of_the_support_leaves_the_samples(tmp_path: Path) -> None:
    here = Scene(tmp_path)
    assert results(here.evaluate([here.run("tip-adapter", 1)]))["tip-adapter"]["ci_kind"] == "bootstrap over test samples"
    found = results(here.evaluate([here.run("zero-shot", seed) for seed in (1, 2)]))["zero-shot"]
    assert found["ci_kind"] == "bootstrap over test samples"
    assert found["accuracy_ci95"][0] < found["accuracy_mean"] < found["accuracy_ci95"][1]


def test_equal_methods_tie_and_differences_are_paired(tmp_path: Path) -> None:
    here = Scene(tmp_path)
    first = here.run("tip-adapter", 1)
    twin = Run("tip-adapter-f", 1, first.cache, first.adapter, first.texts)
    (difference,) = here.evaluate([first, twin]).summary["differences"]
    told = {"method": "tip-adapter-f", "against": "tip-adapter", "difference": 0.0, "ci95": [0.0, 0.0], "tie": True}
    assert difference == {**told, "ci_kind": "bootstrap over test samples"}


@pytest.mark.parametrize(("fixed", "seeds", "wider"), [(False, (1, 2, 3), True), (False, (1,), False), (True, (1, 2, 3), False)])
def test_where_supports_differ_a_difference_has_their_luck_in_its_interval(
    tmp_path: Path, fixed: bool, seeds: tuple[int, ...], wider: bool
) -> None:
    here = Scene(tmp_path, fixed=fixed)
    artifact = here.evaluate([here.run(method, seed) for method in ("zero-shot", "tip-adapter") for seed in seeds])
    (row,) = artifact.summary["differences"]
    predictions = read_table(artifact.file("predictions.parquet"))
    correct = (predictions["predicted"].to_numpy() == predictions["label"].to_numpy()).reshape(2, len(seeds), -1).astype(float)
    gaps = 100 * (correct[1] - correct[0])
    means = 100 * metrics.resampled_means(correct.mean(1).T, metrics.BOOTSTRAP_SEED)
    plain = metrics.percentile_interval(means[:, 1] - means[:, 0])
    assert row["difference"] == pytest.approx(gaps.mean())
    if not wider:
        assert (row["ci_kind"], row["ci95"]) == ("bootstrap over test samples", pytest.approx(list(plain)))
        return
    assert row["ci_kind"] == "student-t over seeds and bootstrap over test samples"
    seed_by_seed = metrics.student_interval(gaps.mean(1))
    assert row["ci95"][0] <= seed_by_seed[0] < seed_by_seed[1] <= row["ci95"][1]


def test_more_neighbors_than_keys_are_all_keys(tmp_path: Path) -> None:
    here = Scene(tmp_path, shots=1)
    log = read_table(here.evaluate([here.run("tip-adapter", 1)], neighbors=50).files(prefix="affinity/"))
    assert {len(row) for row in log["neighbors"].to_pylist()} == {6}


def test_only_plain_views_are_scored_and_batches_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = Scene(tmp_path)
    run = here.run("tip-adapter", 1)
    whole = here.evaluate([run])
    monkeypatch.setattr("xmap.stages.eval.scoring.BATCH", 7)
    parts = here.evaluate([run], neighbors=6)
    assert results(whole)["tip-adapter"]["accuracy_mean"] == results(parts)["tip-adapter"]["accuracy_mean"]
    assert whole.summary["samples"] == len(read_images(here.images.files(prefix="test-")))


QUICK = {"epochs": 2, "min_steps": 4, "steps": 10}


def evidence(artifact: Artifact) -> dict[str, list[Any]]:
    """Every column of the log and of the predictions, lists and structs as they are."""
    tables = {
        "log": read_table(artifact.files(prefix="affinity/")),
        "predictions": read_table(artifact.file("predictions.parquet")),
    }
    return {f"{name}.{column}": table[column].to_pylist() for name, table in tables.items() for column in table.column_names}


def test_no_column_of_any_method_depends_on_the_batch_it_is_scored_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = Scene(tmp_path)
    quick = {name: {option: QUICK[option] for option in QUICK.keys() & entry.options.model_fields} for name, entry in METHODS.items()}
    runs = [here.run(method, 1, given) for method, given in quick.items()]
    for top_k in ("all", 5):
        found = []
        for bins, batch in ((10, 1024), (11, 7)):
            monkeypatch.setattr("xmap.stages.eval.scoring.BATCH", batch)
            found.append(evidence(here.evaluate(runs, bins=bins, top_k=top_k)))
        whole, parts = found
        methods = {method for method, value in zip(whole["log.method"], whole["log.difference"], strict=True) if value is not None}
        assert methods == {"xmadapter", "xmadapter-paper", "tip-x"}
        for name, column in whole.items():
            assert same(parts[name], column), (top_k, name)


def test_the_question_about_rising_weights_has_rows_for_the_default_method(tmp_path: Path) -> None:
    here = Scene(tmp_path)
    run = here.run("xmadapter", 1)
    with connect(here.world.store.root) as connection:
        rows = connection.query(QUESTIONS["rising-weights"].sql).to_pylist()
    assert {(row["method"], row["seed"]) for row in rows} == {("xmadapter", 1)}
    assert {row["sample_id"] for row in rows} <= set(read_values(run.cache.file("values.parquet")).sample_ids)
    assert rows[0]["rise"] == max(row["rise"] for row in rows) > 0


def same(found: Any, expected: Any) -> bool:
    """Whether values are equal, floats nearly, however deep they lie."""
    if isinstance(expected, dict):
        return all(same(found[name], value) for name, value in expected.items())
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, float):
        return found == pytest.approx(expected, rel=1e-4, abs=1e-5)
    return bool(found == expected)


def test_evaluation_refuses_what_it_cannot_compare(tmp_path: Path) -> None:
    here = Scene(tmp_path)
    run = here.run("tip-adapter", 1)
    with pytest.raises(InputError, match="name methods"):
        here.evaluate([])
    with pytest.raises(InputError, match="twice with one seed"):
        here.evaluate([run, run])
    here.shots = 2
    with pytest.raises(InputError, match="one number of shots, got 2, 3"):
        here.evaluate([run, here.run("tip-adapter", 1)])


def test_features_without_test_images_are_refused(tmp_path: Path) -> None:
    here = Scene(tmp_path)
    run = here.run("tip-adapter", 1)
    empty = ImageFeatures((), np.zeros(0, np.int32), np.zeros(0, np.int16), np.zeros((0, 8), np.float32))
    here.images = here.world.images({"train": here.world.rows("train", 4), "test": empty})
    with pytest.raises(InputError, match="no readable test image"):
        here.evaluate([run], bins=4)
