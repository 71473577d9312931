"""`xmap ablate` on imported features: tables, figures, what is left out, and that no test sample is read."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner, Result

from tests.worlds.inputs import write_layout, write_photos
from xmap.cli.main import app
from xmap.store.artifacts.artifact import Store
from xmap.store.formats.tables import read_table

QUICK = (
    "--features",
    "layout",
    "--shots",
    "4",
    "--set",
    "methods.xmadapter.min_steps=5",
    "--set",
    "methods.xmadapter.epochs=1",
    "--device",
    "cpu",
)


def ablate(*words: object) -> Result:
    return CliRunner().invoke(app, ["ablate", *(str(word) for word in words)])


@pytest.fixture
def imported(tmp_path: Path, own_store: Path) -> Path:
    write_layout(tmp_path / "layout", shots=(1, 2, 4), per_class=12)
    result = CliRunner().invoke(app, ["import", "tip-adapter", str(tmp_path / "layout"), "--name", "layout", "--quiet"])
    assert result.exit_code == 0, result.output
    return own_store


def test_a_table_and_a_figure_each_and_the_test_split_stays_closed(imported: Path, tmp_path: Path) -> None:
    images = next(artifact for artifact in Store(imported).artifacts() if artifact.stage == "images")
    tests = list(images.path.glob("test-*.parquet"))
    assert tests
    for path in tests:
        # Whoever opens it finds no table.
        path.chmod(0o600)
        path.write_bytes(b"closed" + bytes(path.stat().st_size - 6))
    out = tmp_path / "out"
    result = ablate("gamma", "shots", "text", "hard-samples", *QUICK, "--out", out, "--json", "--quiet")
    assert result.exit_code == 0, result.output
    found = {one["name"]: one for one in json.loads(result.stdout)["ablations"]}
    assert [row["variant"] for row in found["gamma"]["rows"]][:2] == ["default", "0 (text only)"]
    assert found["gamma"]["rows"][0]["verdict"] == "the default"
    # An imported support is one for all seeds.
    assert {row["ci_kind"] for row in found["gamma"]["rows"]} == {"bootstrap over validation samples"}
    hard = found["hard-samples"]
    assert len(hard["found"]) + 3 * len(hard["left_out"]) == 6
    assert "come without a text tower" in found["text"]["left_out"][0]
    for name in (name for name in found if found[name]["files"]):
        table = read_table(out / f"{name}.parquet")
        assert table.num_rows == len(found[name]["rows"] or found[name]["found"])
        ElementTree.parse(out / f"{name}.svg")  # noqa: S314 (our own file)


def test_what_is_said_of_the_classes_is_said_once(tmp_path: Path, own_store: Path) -> None:
    photos = write_photos(tmp_path / "photos")
    (tmp_path / "said.json").write_text('{"ant": ["small and busy"]}')
    images = ("--data", photos, "--model", "xmap-tiny", "--views", "0", "--workers", "0", "--descriptions", tmp_path / "said.json")
    result = ablate("descriptions", *images, "--shots", "2", "--seeds", "1,2", *QUICK[4:], "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert result.stderr.count("by the templates alone is told 'bee', 'cat'") == 1


def test_the_same_seed_gives_the_same_table(imported: Path, tmp_path: Path) -> None:
    tables = []
    for name in ("one", "two"):
        assert ablate("hard-weight", *QUICK, "--out", tmp_path / name, "--quiet").exit_code == 0
        tables.append(read_table(tmp_path / name / "hard-weight.parquet").to_pylist())
    assert tables[0] == tables[1]


def test_wrong_names_and_the_list() -> None:
    assert "gamma" in ablate("--list").stdout
    result = ablate("gama")
    assert result.exit_code != 0
    assert "gamma" in result.output


@pytest.mark.parametrize("flag", ["--methods", "--protocol"])
def test_flags_that_it_would_not_heed_are_unknown(flag: str) -> None:
    result = ablate("gamma", flag, "few")
    assert result.exit_code == 2
    assert f"No such option: {flag}" in result.output
