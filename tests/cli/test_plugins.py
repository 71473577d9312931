"""The packages in `examples/`: installed, found by every command, and gone again."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worlds.commands import call
from tests.worlds.inputs import write_layout, write_photos
from tests.worlds.plugins import ROOT, looked_in, write_example, write_method
from xmap.testing import LAWS, check_method

RUN = ("--model", "xmap-tiny", "--views", "1", "--batch-size", "4", "--workers", "0", "--shots", "2", "--seeds", "1", "--quiet")
METHOD = ("--methods", "zero-shot,nearest-mean", "--set", "methods.nearest-mean.share=0.5")


@pytest.fixture
def examples(tmp_path: Path) -> Iterator[Path]:
    """Both packages, as they are when they are installed."""
    for name in ("nearest_mean", "listing"):
        write_example(tmp_path / "installed", name)
    with looked_in(tmp_path / "installed"):
        yield tmp_path


def write_listing(folder: Path) -> Path:
    photos = write_photos(folder / "photos")
    lines = [f"{path.relative_to(folder)}: {path.parent.name}" for path in sorted(photos.rglob("*.png"))]
    (folder / "all.txt").write_text("\n".join(lines))
    return folder / "all.txt"


@pytest.mark.parametrize("law", LAWS)
def test_the_example_obeys_the_laws(examples: Path, law: str) -> None:
    check_method("nearest-mean", [law])


def test_examples_are_found_used_and_missed(examples: Path) -> None:
    listing, store = write_listing(examples), ("--store", examples / "store")
    done = call("run", f"listing:{listing}", *RUN, *METHOD, *store, "--json")
    assert done.exit_code == 0, done.output
    assert [row["method"] for row in json.loads(done.stdout)["results"]] == ["zero-shot", "nearest-mean"]
    again = call("run", f"listing:{listing}", *[word for word in RUN if word != "--quiet"], *METHOD, *store)
    assert "built" not in again.stderr, "a second run finds everything"
    assert call("export", examples / "out", "--method", "nearest-mean", *store).exit_code == 0
    image = examples / "photos/test/ant/0.png"
    assert json.loads(call("predict", image, "--adapter", examples / "out", "--json").stdout)["class"] in ("ant", "bee", "cat")
    with looked_in(examples / "installed"):
        shutil.rmtree(examples / "installed")
        missed = call("predict", image, "--adapter", examples / "out")
        assert missed.exit_code == 2
        assert "'nearest-mean', a method of the package xmap-nearest-mean 0.1, and no package installed here has it" in missed.stderr
        for words in (["status"], ["verify"], ["gc"], ["sql", "from runs"], ["report", "-o", examples / "r.html"]):
            read = call(*words, *store)
            assert read.exit_code == 0, read.output


def test_a_package_that_takes_a_name_of_xmap_is_named(tmp_path: Path) -> None:
    write_layout(tmp_path / "layout")
    assert call("import", "tip-adapter", tmp_path / "layout").exit_code == 0
    with looked_in(tmp_path / "installed") as place:
        write_method(place, "taskres")
        refused = call("run", "--features", "layout", "--methods", "taskres", "--shots", "2")
        assert refused.exit_code == 2
        assert "the method 'taskres' of the package acme 1.0 has the name of a method of xmap's own" in refused.stderr
        assert call("run", "--features", "layout", "--methods", "zero-shot", "--shots", "2").exit_code == 0
        assert call("run", "--help").exit_code == 0


@pytest.mark.thorough
def test_its_adapter_as_onnx_needs_no_package(examples: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    listing, store = write_listing(examples), ("--store", examples / "store")
    assert call("run", f"listing:{listing}", *RUN, *METHOD, *store).exit_code == 0
    words = ("predict", examples / "photos/test", "--json", "--quiet", "--adapter")
    for name, more in (("torch", ()), ("onnx", ("--onnx",))):
        exported = call("export", examples / name, "--method", "nearest-mean", *more, *store)
        assert exported.exit_code == 0, exported.output
    expected = [json.loads(line) for line in call(*words, examples / "torch").stdout.splitlines()]
    shutil.rmtree(examples / "installed")
    with looked_in(examples / "installed"):
        found = [json.loads(line) for line in call(*words, examples / "onnx").stdout.splitlines()]
    assert [row["class"] for row in found] == [row["class"] for row in expected]
    assert len(found) == 9


@pytest.mark.thorough
def test_the_example_is_installed_and_run_as_anybody_does(tmp_path: Path) -> None:
    """By pip, and by a command in a process of its own."""
    target, folder = tmp_path / "installed", tmp_path / "source"
    shutil.copytree(ROOT / "examples" / "nearest_mean", folder, ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(folder)], check=True, timeout=120)
    write_layout(tmp_path / "layout")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(target), str(ROOT)])}
    told = "import sys\nfrom xmap.cli.main import main\ntry:\n    main()\nfinally:\n    print('imported', *sys.modules, file=sys.stderr)"
    script = [sys.executable, "-c", told]
    for words in (
        ["--help"],
        ["run", "--help"],
        ["import", "tip-adapter", "layout"],
        ["run", "--features", "layout", "--shots", "2", *METHOD],
    ):
        done = subprocess.run([*script, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        imported = set(done.stderr.splitlines()[-1].split())
        assert "imported" in imported
        if "--help" in words:
            assert imported.isdisjoint({"torch", "xmap_nearest_mean"})
            assert ("nearest-mean" in re.sub(r"[\s│]+", "", done.stdout)) == (words[0] == "run")
        elif words[0] == "run":
            assert imported >= {"torch", "xmap_nearest_mean", "xmap_nearest_mean.method"}
            assert "nearest-mean" in done.stdout
