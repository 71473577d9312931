"""`xmap report`: its numbers are those of the evaluation, its page shows names as text, and it says what it could not show."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xmap
from tests.worlds.commands import call
from tests.worlds.inputs import write_layout
from tests.worlds.report import CLASSES
from xmap.stages.eval.metrics import student_interval
from xmap.store.artifacts.artifact import Artifact, Store


@pytest.fixture(scope="module")
def store(reported: Path) -> Path:
    return reported


def written(path: Path) -> dict[str, Any]:
    """The data inside a report."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', path.read_text("utf-8"), re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found.group(1))
    return data


@pytest.fixture(scope="module")
def both(store: Path) -> dict[str, Any]:
    """The data of a report of both runs."""
    names = [found.fingerprint[:8] for found in evaluations(store)]
    result = call("report", *names, "--store", store, "-o", store.parent / "both.html")
    assert result.exit_code == 0, result.output
    return written(store.parent / "both.html")


def evaluations(store: Path) -> list[Artifact]:
    return Store(store).artifacts("eval")


def test_without_a_name_it_is_the_newest_in_the_store(store: Path) -> None:
    result = call("report", "--store", store, "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert Path(facts["path"]) == store / "reports" / f"{evaluations(store)[-1].path.name}.html"
    assert Path(facts["path"]).stat().st_size == facts["bytes"]
    assert facts["remarks"] == []


def test_numbers_are_those_of_the_evaluations(store: Path, both: dict[str, Any]) -> None:
    results = [row for found in evaluations(store) for row in found.summary["results"]]
    assert [row["method"] for row in both["series"]] == [row["method"] for row in results]
    for shown, row in zip(both["series"], results, strict=True):
        assert (shown["accuracy"], [shown["low"], shown["high"]]) == (row["accuracy_mean"], row["accuracy_ci95"])
        counts = shown["confusion"]
        right = sum(n for label, predicted, n in counts if label == predicted)
        total = sum(n for _, _, n in counts)
        assert total == 24 * 2
        assert 100 * right / total == pytest.approx(row["accuracy_mean"])
        assert sum(size * n for size, n in shown["set_sizes"]) / total == pytest.approx(row["set_size_mean"])
        gap = sum(n * abs(stated - accuracy) for _, n, stated, accuracy in shown["calibration"]) / total
        # The error is the mean over seeds, the figure pools them: pooled gaps can cancel, and do not where all seeds say the same.
        assert gap <= row["ece_mean"] + 0.02
        assert row["method"] != "zero-shot" or gap == pytest.approx(row["ece_mean"], abs=0.02)
        for histogram in shown["distributions"].values():
            assert sum(histogram["right"]) + sum(histogram["wrong"]) == total


def test_growing_supports_that_the_store_holds_are_shown(store: Path, both: dict[str, Any]) -> None:
    for row in both["series"]:
        growth = row["growth"]
        if row["method"] == "zero-shot":
            # It takes no labels.
            assert growth is None
            continue
        assert (growth["method"], [point["labels"] for point in growth["points"]]) == (row["method"], [3, 6])
        assert growth["doubled"]["labels"] == 12
        assert "twice the labels (12)" in growth["verdict"]
        assert {found["name"] for found in growth["classes"]} == set(CLASSES)


def test_the_sample_lists_are_those_of_the_log(store: Path, both: dict[str, Any]) -> None:
    task, shown = both["tasks"][0], both["series"][-1]
    assert (task["total"], len(task["samples"])) == (24, 24)
    assert task["classes"] == sorted(CLASSES)
    with xmap.connect(store) as connection:
        query = "select * from affinity where split = 'test' and method = 'xmadapter' and seed = 1"
        logged = [row for row in connection.query(query).to_pylist() if row["artifact"] == both["runs"][1]["artifact"]]
    assert len(logged) == 24
    answers = shown["answers"]
    for row in logged:
        place = task["samples"].index(row["sample_id"])
        assert task["labels"][place] == row["label"]
        assert answers["predicted"][place] == row["predicted"]
        assert answers["near"][place] == [near["sample_id"] for near in row["neighbors"]]
        assert answers["margin"][place] == pytest.approx(row["margin"], abs=1e-3)
        assert all(name in task["thumbnails"] for name in (row["sample_id"], *answers["near"][place]))


def test_runs_are_compared_pair_by_pair(both: dict[str, Any]) -> None:
    pairs = {(row["of"], row["against"]) for row in both["differences"]}
    assert pairs == {(one, two) for one in range(6) for two in range(one)}
    for row in both["differences"]:
        gap = both["series"][row["of"]]["accuracy"] - both["series"][row["against"]]["accuracy"]
        assert row["difference"] == pytest.approx(gap)
        assert row["low"] <= row["difference"] <= row["high"]
        assert row["tie"] == (row["low"] <= 0 <= row["high"])
        two = [both["series"][row[name]] for name in ("of", "against")]
        by_seed = [dict(zip(one["seeds"], one["accuracies"], strict=True)) for one in two]
        shared = by_seed[0].keys() & by_seed[1].keys()
        luck = len(shared) > 1 and any(one["ci_kind"] == "student-t over seeds" for one in two)
        assert row["kind"] == ("student-t over seeds and bootstrap over test samples" if luck else "bootstrap over test samples")
        if luck:
            low, high = student_interval(np.array([by_seed[0][seed] - by_seed[1][seed] for seed in shared]))
            assert row["high"] - row["low"] >= high - low - 1e-9


def test_unreadable_images_and_provenance_are_in_it(both: dict[str, Any]) -> None:
    assert [row["sample"] for row in both["runs"][0]["unreadable"]] == ["broken.png"]
    assert both["runs"][0]["command"].startswith("xmap eval --data")
    assert both["tasks"][0]["prompts"][0] == f"a photo of a {sorted(CLASSES)[0]}."


def test_names_never_become_markup(store: Path) -> None:
    assert call("report", "--store", store, "-o", store.parent / "one.html").exit_code == 0
    page = (store.parent / "one.html").read_text("utf-8")
    assert "<script>alert(1)" not in page
    assert "<img src=x" not in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", ""), "nothing is loaded"


def test_a_long_list_is_cut_to_the_hardest_and_an_even_rest(store: Path) -> None:
    result = call("report", "--store", store, "--samples", "6", "-o", store.parent / "six.html")
    assert result.exit_code == 0, result.output
    data = written(store.parent / "six.html")
    task = data["tasks"][0]
    assert (task["total"], len(task["samples"])) == (24, 6)
    with xmap.connect(store) as connection:
        query = "select artifact, sample_id, min(margin) from affinity where split = 'test' and seed = 1 group by 1, 2 order by 3, 2"
        rows = connection.query(query).to_pylist()
    hardest = [row["sample_id"] for row in rows if row["artifact"] == data["runs"][0]["artifact"]]
    assert task["samples"][:3] == hardest[:3]


def test_images_that_are_gone_are_a_remark(store: Path, tmp_path: Path) -> None:
    table = store.parent / "images.csv"
    hidden = table.rename(store.parent / "elsewhere.csv")
    try:
        gone = call("report", "--store", store, "-o", tmp_path / "gone.html")
        assert gone.exit_code == 0, gone.output
        assert "images are not shown" in gone.stderr
        assert written(tmp_path / "gone.html")["tasks"][0]["thumbnails"] == {}
        moved = call("report", "--store", store, "-o", tmp_path / "moved.html", "--data", hidden)
        assert "not shown" not in moved.stderr
        assert len(written(tmp_path / "moved.html")["tasks"][0]["thumbnails"]) >= 24
    finally:
        hidden.rename(table)


def test_imported_features_have_a_report_without_pictures(tmp_path: Path) -> None:
    folder = write_layout(tmp_path / "layout")
    assert call("import", "tip-adapter", folder, "--quiet").exit_code == 0
    run = call("run", "--features", "layout", "--shots", "2", "--seeds", "1", "--methods", "zero-shot,tip-adapter", "--quiet")
    assert run.exit_code == 0, run.output
    result = call("report", "-o", tmp_path / "report.html")
    assert result.exit_code == 0, result.output
    assert "imported" in result.stderr
    data = written(tmp_path / "report.html")
    assert len(data["tasks"][0]["samples"]) == 12
    assert not data["runs"][0]["corrects"], "their labels are not those of images"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "no eval artifact"),
        (("nothing-so",), "no eval artifact 'nothing-so'"),
        (("--samples", "1"), "greater than or equal to 2"),
        *((("-o", f"r.{end}"), "it is to be an HTML page") for end in ("pdf", "csv", "json", "md", "PNG")),
    ],
)
def test_wrong_use_is_a_sentence(words: tuple[str, ...], said: str) -> None:
    result = call("report", *words)
    assert result.exit_code == 2
    assert said in result.stderr
