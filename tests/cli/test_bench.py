"""`xmap bench` on a made tree of all benchmarks, from extraction to the printed grid."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from tests.worlds.benchmarks import make_all
from tests.worlds.inputs import write_layout
from xmap.cli.main import app
from xmap.pipeline.studies.bench import against_ours
from xmap.pipeline.studies.published import ELEVEN, SHOTS, published, published_average, published_domains
from xmap.store.artifacts.artifact import Store
from xmap.store.formats.tables import read_table

FEW = (
    "--model", "xmap-tiny", "--shots", "1", "--seeds", "1", "--methods", "zero-shot,tip-adapter,xmadapter",
    "--workers", "0", "--views", "0",
    "--set", "methods.xmadapter.min_steps=5", "--set", "methods.xmadapter.epochs=1", "--device", "cpu", "--quiet",
)  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_all(tmp_path_factory.mktemp("benchmarks"))


def bench(*words: object) -> Result:
    return CliRunner().invoke(app, ["bench", *(str(word) for word in words)])


def test_a_benchmark_and_a_target_run_to_the_printed_grid_and_again_from_the_store(tree: Path, own_store: Path) -> None:
    result = bench("--datasets", "imagenet,imagenetv2", "--root", tree, *FEW)
    assert result.exit_code == 0, result.output
    assert "61.13" in result.stdout, "Tip-Adapter-F on ImageNet at one shot, as published"
    for said in ("ImageNet", "domain generalisation", "test-selected", "RN50", "protocol few"):
        assert said in result.stdout
    made = {artifact.fingerprint for artifact in Store(own_store).artifacts()}
    again = bench("--datasets", "imagenet,imagenetv2", "--root", tree, *FEW, "--json")
    assert {artifact.fingerprint for artifact in Store(own_store).artifacts()} == made, "a second run builds nothing"
    assert [cell["target"] for cell in json.loads(again.stdout)["cells"]] == [False, True]


@pytest.mark.thorough
def test_all_fifteen_run_through_extract_to_the_printed_grid_and_again_from_the_store(tree: Path, own_store: Path) -> None:
    result = bench("--datasets", "all", "--root", tree, *FEW)
    assert result.exit_code == 0, result.output
    printed = result.stdout
    for title in ("ImageNet", "OxfordPets", "FGVCAircraft", "average over 11 datasets", "domain generalisation"):
        assert f"{title}" in printed
    assert "61.13" in printed, "Tip-Adapter-F on ImageNet at one shot, as published"
    assert "test-selected" in printed
    assert "RN50" in printed
    assert printed.count("protocol few") == 11 * 2 + 2
    made = {artifact.fingerprint for artifact in Store(own_store).artifacts()}
    again = bench("--datasets", "all", "--root", tree, *FEW, "--json")
    facts = json.loads(again.stdout)
    assert {artifact.fingerprint for artifact in Store(own_store).artifacts()} == made, "a second run builds nothing"
    assert len(facts["cells"]) == 15
    assert sum(cell["target"] for cell in facts["cells"]) == 4
    assert {row["method"] for row in facts["cells"][0]["results"]} == {"zero-shot", "tip-adapter", "xmadapter"}


def test_a_target_predicts_only_classes_it_has(tree: Path, own_store: Path) -> None:
    result = bench("--datasets", "imagenet_a,imagenetv2", "--root", tree, *FEW, "--json")
    assert result.exit_code == 0, result.output
    for cell in json.loads(result.stdout)["cells"]:
        without = [row["per_class"][0] is None for row in cell["results"]]
        assert all(without) if cell["dataset"] == "imagenet_a" else not any(without)
    scored = [found for found in Store(own_store).artifacts("eval") if found.name.startswith("imagenet_a-from-imagenet-")]
    predicted = read_table(scored[0].file("predictions.parquet"), ["predicted", "label"])
    assert set(predicted["label"].to_pylist()) == {1, 2}
    assert set(predicted["predicted"].to_pylist()) <= {1, 2}


def test_one_failing_dataset_is_reported_and_the_others_go_on(tree: Path, tmp_path: Path) -> None:
    broken = make_all(tmp_path / "broken")
    (broken / "dtd/split_zhou_DescribableTextures.json").write_text("{")
    result = bench("--datasets", "dtd,EuroSAT", "--root", broken, *FEW)
    assert result.exit_code == 1
    assert "dtd failed" in result.stderr
    assert "is not JSON" in result.stderr
    assert "EuroSAT: accuracy %" in result.stdout


def test_a_method_that_cannot_be_trained_costs_the_others_nothing(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(*_: object) -> None:
        raise RuntimeError("singular matrix")

    monkeypatch.setattr("xmap.stages.methods.tip_adapter.fit", fit)
    result = bench("--datasets", "dtd", "--root", tree, *FEW, "--json")
    assert result.exit_code == 1
    facts = json.loads(result.stdout)
    assert [row["method"] for row in facts["cells"][0]["results"]] == ["zero-shot", "xmadapter"]
    assert facts["failures"] == [{"dataset": "dtd", "shots": 1, "method": "tip-adapter", "message": "RuntimeError: singular matrix"}]
    assert "dtd, 1 shot, tip-adapter failed" in result.stderr


@pytest.mark.parametrize("error", [MemoryError("Unable to allocate 9 GiB"), RuntimeError("[enforce fail] can't allocate memory")])
def test_a_dataset_that_memory_is_refused_is_one_sentence(tree: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refused(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("xmap.pipeline.studies.bench.features_of", refused)
    result = bench("--datasets", "dtd", "--root", tree, *FEW)
    assert result.exit_code == 2
    assert f"dtd failed: there is not enough memory ({error}); free some" in result.stderr
    assert "Traceback" not in result.stderr


def test_imported_features_run_at_the_shots_they_hold(tmp_path: Path) -> None:
    write_layout(tmp_path / "toy", shots=(1, 2))
    assert CliRunner().invoke(app, ["import", "tip-adapter", str(tmp_path / "toy"), "--quiet"]).exit_code == 0
    methods = ("--methods", "zero-shot,xmadapter", "--set", "methods.xmadapter.min_steps=5", "--quiet")
    result = bench("--features", "toy", *methods)
    assert result.exit_code == 0, result.output
    assert "2 shots" in result.stdout
    assert "4 shots" not in result.stdout
    assert "published" not in result.stdout
    none = bench("--features", "toy", "--shots", "16", *methods)
    assert none.exit_code == 2
    assert "hold a support for 1, 2 shots alone" in none.stderr


def test_the_paper_protocol_is_named_in_every_table(tree: Path) -> None:
    result = bench("--datasets", "dtd,eurosat", "--root", tree, *FEW, "--protocol", "paper")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("FULL validation split") == 2 * 2 + 1
    assert "validation, all 3" in result.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "nothing to run"),
        (("--datasets", "dtd"), "--root DIR"),
        (("--datasets", "mnist", "--root", "."), "unknown benchmark 'mnist'"),
        (("--features", "x", "--methods", "magic"), "unknown method 'magic'"),
        (("--features", "x", "--shots", "0,two"), "--shots 0,two: input should be"),
    ],
)
def test_wrong_use_is_one_sentence(words: tuple[str, ...], expected: str) -> None:
    result = bench(*words)
    assert result.exit_code == 2
    assert expected in result.stderr


@pytest.mark.parametrize("told", [(), ("--quiet",)])
def test_unknown_features_end_as_in_a_run_and_are_said_once(told: tuple[str, ...]) -> None:
    result = bench("--features", "nothing-here", *told)
    assert result.exit_code == CliRunner().invoke(app, ["run", "--features", "nothing-here"]).exit_code == 2
    assert result.stderr.count("no images artifact") == 1


def test_differences_are_turned_to_ours_first() -> None:
    rows = [
        {"method": "xmadapter", "against": "clap", "difference": 1.0, "ci95": [0.5, 1.5], "tie": False},
        {"method": "tip", "against": "xmadapter", "difference": -2.0, "ci95": [-3.0, 0.5], "tie": True},
        {"method": "tip", "against": "clap", "difference": 9.0, "ci95": [8.0, 10.0], "tie": False},
    ]
    assert against_ours(rows) == {
        "clap": {"difference": 1.0, "ci95": [0.5, 1.5], "tie": False},
        "tip": {"difference": 2.0, "ci95": [-0.5, 3.0], "tie": True},
    }


def test_published_averages_are_those_of_their_tables() -> None:
    averages = {(row.source.method, row.source.source): row.accuracy for row in published_average(ELEVEN)}
    assert averages["Tip-Adapter-F", "Tip-Adapter exp.log"][16] == pytest.approx(75.83, abs=0.006)
    assert averages["APE-T", "APE_results.ipynb"][1] == pytest.approx(67.23, abs=0.006)
    assert averages["GDA-CLIP", "GDA-CLIP repository log"][8] == pytest.approx(73.31, abs=0.006)
    assert averages["zero-shot", "Tip-Adapter exp.log"][4] == pytest.approx(58.89, abs=0.006)
    assert averages["ProLIP, lambda 1/N", "ProLIP repository"][1] == 64.33
    assert published("my-own-features") == []


def test_published_rows_are_whole_and_name_a_source() -> None:
    for name in ELEVEN:
        rows = published(name)
        assert {tuple(row.accuracy) for row in rows} == {SHOTS, (16,)}
        assert all(0 < value < 100 for row in rows for value in row.accuracy.values())
        assert len({row.source for row in rows}) == len(rows) == 17, "every table has all of the eleven"
    sources = [row.source for row in published_average(ELEVEN)] + [source for source, _ in published_domains()]
    assert not [source for source in sources if "notes" in source.source or not source.chosen]
