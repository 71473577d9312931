"""`docs/import.md`: its Python makes the files, and its commands run on them, one after the other."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from xmap.cli.main import app
from xmap.stages.imports.layouts import LAYOUTS

PAGE = Path(__file__).parents[2] / "docs" / "import.md"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_page_is_what_happens(tmp_path: Path, own_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = []
    for kind, text in FENCE.findall(PAGE.read_text("utf-8")):
        if kind == "python":
            (tmp_path / "make.py").write_text(text)
            runpy.run_path(str(tmp_path / "make.py"))
            continue
        for line in text.splitlines():
            result = CliRunner().invoke(app, shlex.split(line)[1:])
            assert result.exit_code == 0, f"{line}: {result.stderr}"
            said.append(result.stdout)
    assert len(said) == 7
    assert "tip-adapter" in said[1]
    assert "00000019" in said[3]
    assert [line.split() for line in said[4].splitlines() if "pool" in line] == [["pool", "20"]]


def test_it_names_every_layout() -> None:
    rows = re.findall(r"^\| `([\w-]+) (?:FILE|DIR)`", PAGE.read_text("utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(LAYOUTS)
