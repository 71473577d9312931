"""Help and a run that builds nothing import next to nothing, which is what makes them quick (see benchmarks/startup.py)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.worlds.inputs import write_layout, write_photos
from xmap.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "faiss", "pyarrow", "duckdb", "open_clip", "torchvision")


def imported(*arguments: str) -> set[str]:
    """The modules that a command imports."""
    command = [sys.executable, "-X", "importtime", "-c", "from xmap.cli.main import main; main()", *arguments]
    found = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    return {line.rsplit("|", 1)[-1].strip() for line in found.stderr.splitlines() if line.startswith("import time:")}


def test_help_imports_nothing_heavy() -> None:
    assert imported("--help").isdisjoint(
        {*HEAVY, "numpy", "pydantic", "rich", "blake3", "importlib.metadata", "csv", "xmap.store.artifacts.artifact"}
    )


@pytest.mark.parametrize("kind", ["images", "imported"])
def test_a_run_that_builds_nothing_imports_nothing_heavy(tmp_path: Path, kind: str) -> None:
    arguments = ["--shots", "2", "--methods", "zero-shot,tip-adapter", "--seeds", "1,2", "--workers", "0"]
    if kind == "images":
        arguments += ["--data", str(write_photos(tmp_path / "photos")), "--model", "xmap-tiny", "--views", "1", "--batch-size", "4"]
    else:
        folder = write_layout(tmp_path / "layout")
        assert CliRunner().invoke(app, ["import", "tip-adapter", str(folder)]).exit_code == 0
        arguments += ["--features", "layout"]
    assert CliRunner().invoke(app, ["run", *arguments]).exit_code == 0
    assert imported("run", *arguments).isdisjoint(HEAVY)
