"""`xmap datasets` and `xmap datasets check`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.worlds.benchmarks import make_all
from xmap.cli.main import app
from xmap.stages.datasets.benchmarks.table import ENTRIES


def xmap(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_all(tmp_path / "data")


def test_it_lists_eleven_benchmarks_and_four_targets() -> None:
    listed = json.loads(xmap("datasets", "--json").stdout)
    assert len(listed) == 15
    assert sum(entry["target"] for entry in listed) == 4
    shown = xmap("datasets").stdout
    assert all(entry.name in shown and f"{entry.folder}/" in shown for entry in ENTRIES)


def test_a_complete_tree_passes_the_check_and_says_how_it_differs_from_the_published_one(tree: Path) -> None:
    result = xmap("datasets", "check", "all", "--root", tree)
    assert result.exit_code == 0, result.output
    assert result.stdout.count(": complete") == 15
    assert "3 classes, published are 1,000" in result.stdout


def test_missing_images_are_counted_and_named(tree: Path) -> None:
    for number in (0, 1, 3):
        (tree / f"dtd/images/kind_1/{number}.jpg").unlink()
    result = xmap("datasets", "check", "DTD", "--root", tree)
    assert result.exit_code == 1
    assert "missing: 3 listed images, such as kind_1/0.jpg" in result.stdout
    report = json.loads(xmap("datasets", "check", "dtd", "--root", tree, "--json").stdout)[0]
    assert (report["complete"], report["absent"], report["images"]) == (False, 3, {"train": 4, "val": 3, "test": 5})


def test_missing_files_are_named_with_the_layout(tmp_path: Path) -> None:
    (tmp_path / "oxford_flowers/jpg").mkdir(parents=True)
    result = xmap("datasets", "check", "Flowers102", "--root", tmp_path)
    assert result.exit_code == 1
    assert "split_zhou_OxfordFlowers.json" in result.stdout
    assert "lay it out so" in result.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("check",), "name a benchmark"),
        (("check", "mnist", "--root", "."), "unknown benchmark 'mnist'"),
        (("check", "dtd"), "--root DIR"),
        (("check", "dtd", "--root", "nowhere"), "is not a folder"),
        (("draw",), "unknown action 'draw'"),
    ],
)
def test_wrong_use_is_one_sentence(words: tuple[str, ...], expected: str) -> None:
    result = xmap("datasets", *words)
    assert result.exit_code == 2
    assert expected in result.stderr
