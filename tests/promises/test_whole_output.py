"""Output is whole or absent, and where it cannot be written is said before any work."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.store.conftest import disk_with_room as disk_with_room
from tests.worlds.commands import call
from tests.worlds.faults import KILL, Case, Points, in_child
from xmap.store.disk.output import Output

WRITERS: dict[str, Callable[[Path], tuple[object, ...]]] = {
    "sql, CSV": lambda out: ("sql", "from affinity order by all", "-o", out / "a.csv"),
    "sql, JSON": lambda out: ("sql", "from affinity order by all", "-o", out / "a.json"),
    "sql, JSON lines": lambda out: ("sql", "from affinity order by all", "-o", out / "a.jsonl"),
    "sql, Parquet": lambda out: ("sql", "from affinity order by all", "-o", out / "a.parquet"),
    "sql, table": lambda out: ("sql", "from affinity order by all", "-o", out / "a.txt"),
    "predict, CSV": lambda out: ("predict", out.parent / "photos/test", "-o", out / "a.csv"),
    "predict, JSON lines": lambda out: ("predict", out.parent / "photos/test", "-o", out / "a.jsonl"),
    "predict, Parquet": lambda out: ("predict", out.parent / "photos/test", "-o", out / "a.parquet"),
    "report": lambda out: ("report", "-o", out / "a.html"),
    "status": lambda out: ("status", "-o", out / "a.csv"),
    "init": lambda out: ("init", "--force", "--config", out / "a.toml"),
}


@pytest.fixture
def out(hostile: Path) -> Iterator[Path]:
    folder = hostile / "out"
    folder.mkdir()
    yield folder
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


@pytest.mark.promise
@pytest.mark.failure("odd output")
@pytest.mark.parametrize("name", WRITERS)
def test_output_is_whole_or_absent(
    name: str, hostile: Path, out: Path, disk_with_room: Callable[[int], contextlib.AbstractContextManager[None]], case: Case
) -> None:
    """On a disk that is full at some byte of the output, the old file stays as it is; with room it is there whole, behind its link."""
    words = (*WRITERS[name](out), "--store", hostile / "store")
    assert call(*words).exit_code == 0
    (whole,) = out.iterdir()
    expected = whole.read_bytes()
    # An image takes longer to answer than a row.
    for room in (len(expected) // 2,) if name.startswith("predict") else (0, 1, len(expected) // 2, len(expected) - 1):
        whole.write_bytes(b"# old")
        with case(), disk_with_room(room):
            result = call(*words)
            assert result.exit_code == 2
            assert result.stderr.splitlines()[-1].startswith("xmap: the disk is full: ")
            assert whole.read_bytes() == b"# old"
            assert os.listdir(out) == [whole.name]
    whole.rename(out / "real")
    whole.symlink_to("real")
    with case():
        assert call(*words).exit_code == 0
        assert whole.is_symlink()
        assert abs((out / "real").stat().st_size - len(expected)) < 200


@pytest.mark.failure("odd output")
@pytest.mark.parametrize("name", ["real", "link"])
def test_killed_at_any_point_of_writing_the_old_file_or_the_new_one_is_there(name: str, tmp_path: Path, case: Case) -> None:
    (tmp_path / "link").symlink_to("real")

    def write(last: int) -> None:
        Points(last, KILL).install()
        Output(tmp_path / name).write(b"new" * 100)

    for last in range(12):
        (tmp_path / "real").write_bytes(b"old")
        with case():
            ended = in_child(partial(write, last))
            assert ended in (0, -signal.SIGKILL)
            assert (tmp_path / "real").read_bytes() in (b"old", b"new" * 100)
            assert (tmp_path / "link").is_symlink()
            Output(tmp_path / name).write(b"next")
            assert sorted(os.listdir(tmp_path)) == ["link", "real"], "what the killed one left is cleared"
    assert ended == 0, "there were points after its end"


NOWHERE = ("no/such.csv", "folder.csv", "file/below.csv", f"{'x' * 300}.csv")
WORKING = (
    "xmap.pipeline.run.execute.execute",
    "xmap.pipeline.adapters.choice.load_chosen",
    "xmap.store.sql.connection.connect",
    "xmap.pipeline.studies.report.gather",
)


@pytest.mark.failure("odd output")
def test_what_cannot_be_written_is_said_before_any_work(hostile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder.csv").mkdir()

    def worked(*_: object, **__: object) -> None:
        raise AssertionError("it began to work")

    for name in ("studies.bench", "studies.report", "studies.ablate", "adapters.choice"):
        # Whoever imports a name while it is replaced keeps the replacement.
        importlib.import_module(f"xmap.pipeline.{name}")
    for name in WORKING:
        monkeypatch.setattr(name, worked)
    store = ("--store", hostile / "store")
    writing = ("sql", "from runs"), ("predict", hostile), ("report",), ("run", hostile), ("eval",), ("status",), ("bench",)
    lines: list[tuple[object, ...]] = [
        *((*words, "-o", place, *store) for place in NOWHERE for words in writing),
        ("export", "file", *store), ("export", tmp_path, *store), ("export", ".", *store), ("export", "file/below", *store),
        ("ablate", "gamma", "--out", "file", *store), ("init", "--config", "no/x.toml"), ("demo", "file", "--quiet"),
    ]  # fmt: skip
    for words in lines:
        with case():
            result = call(*words)
            assert result.exit_code == 2, words
            assert len(result.stderr.splitlines()) == 1, result.stderr
            assert "name another with" in result.stderr or "choose another with" in result.stderr
            assert "--store DIR" not in result.stderr
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.csv"]
    assert (tmp_path / "file").read_text() == "kept"


def test_a_dash_is_stdout(hostile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = ("--store", hostile / "store")
    assert call("sql", "select 1 as n", "-o", "-", "--format", "csv", *store).stdout.split() == ["n", "1"]
    assert call("report", "-o", "-", *store).stdout.startswith("<!doctype html>")
    assert call("init", "--config", "-", "--shots", "3").stdout.startswith("# xmap's settings")
    assert call("predict", next((hostile / "photos/test").rglob("* 0.png")), "-o", "-", "--json", *store).stdout.startswith("{")
    assert os.listdir(tmp_path) == []
