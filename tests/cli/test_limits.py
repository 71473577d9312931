"""A query that neither its database nor an error can stop ends with the process, in one sentence."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from xmap.cli.limits import bounded
from xmap.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
WORK = {
    "one long step": "import time; time.sleep(30)",
    "a loop": "while True: pass",
    "a step that swallows every error": """
while True:
    try:
        import time; time.sleep(0.01)
    except BaseException:
        pass
""",
}


@pytest.mark.failure("hostile query")
@pytest.mark.parametrize("name", WORK)
def test_what_does_not_stop_is_stopped(name: str) -> None:
    code = "import xmap.cli.limits as limits; limits.GRACE = 0.1\nwith limits.bounded(0.1, 1 << 30, 'that took too long.'):\n"
    code += "\n".join(f"    {line}" for line in WORK[name].splitlines())
    given = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=given, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (2, "xmap: that took too long.\n")


def test_memory_is_refused_within_and_given_after() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    with bounded(None, 1 << 20, ""), pytest.raises(MemoryError):
        bytearray(16 << 30)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


@pytest.mark.failure("hostile query")
@pytest.mark.parametrize("query", ["select count(*) from range(1000000000000)", "from range(1000000000000)"])
def test_the_command_ends_in_one_sentence(query: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmap.store.sql.connection.ANSWER", 1 << 20)
    (tmp_path / "old.csv").write_text("old")
    result = CliRunner().invoke(app, ["sql", query, "--timeout", "0.3", "-o", str(tmp_path / "old.csv")])
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert "ask for less" in result.stderr
    assert (tmp_path / "old.csv").read_text() == "old"


def test_what_people_cannot_be_shown_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("xmap.cli.sql.READABLE", 1000)
    shown = CliRunner().invoke(app, ["sql", "from range(1000)"])
    assert shown.exit_code == 2
    assert "the answer has 1,000 rows" in shown.stderr
    assert CliRunner().invoke(app, ["sql", "from range(1000)", "-o", str(tmp_path / "all.parquet")]).exit_code == 0


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "1e30"])
def test_a_time_that_is_none_is_refused(seconds: str) -> None:
    result = CliRunner().invoke(app, ["sql", "select 1", "--timeout", seconds])
    assert result.exit_code == 2
    assert "--timeout" in result.stderr
