"""Output is whole or absent, and no name, path, setting or message in it says anything to a terminal, in whatever format."""

from __future__ import annotations

import ast
import contextlib
import importlib
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner, Result

from tests.faults import KILL, Case, Points, in_child
from tests.store.conftest import disk_with_room as disk_with_room
from xmap.cli.help import COMMANDS
from xmap.cli.main import app
from xmap.store.artifacts.artifact import Draft, Store
from xmap.store.artifacts.identity import Identity
from xmap.store.disk.files import write_bytes
from xmap.store.disk.output import Output

ROOT = Path(__file__).resolve().parents[2]
# What makes a terminal do something: colours, titles, its clipboard, tmux's passage, one-byte controls; and marks that turn text.
HOSTILE = (
    "\x1b[31mred",
    "\x1b]0;title\x07",
    "\x1b]52;c;cm0=\x07",
    "\x1bPtmux;\x1b\x1b]0;x\x07\x1b\\",
    "\x9b2Jcleared",
    "\u202egnp.exe",
    "\u2066isolated\u2069",
    "a\rb",
    "a\nxmap: no damage found",
    "bell\x07",
    "back\x08\x08",
    "\u2028line",
    "[bold]markup[/bold]",
    "=1+1",
)
HARMFUL = re.compile("[\0-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069\ud800-\udfff]")
# A spreadsheet needs breaks within cells, and marks of direction; on a terminal it gets neither.
IN_CSV = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
FORMATS = ("table", "csv", "json", "jsonl", "markdown", "latex")
RUN = ("--model", "xmap-tiny", "--views", "0", "--workers", "0", "--shots", "1", "--seeds", "1", "--methods", "zero-shot,tip-adapter")


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def is_harmless(result: Result, form: str = "") -> None:
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert not (IN_CSV if form == "csv" else HARMFUL).search(result.stdout), result.stdout
    assert not HARMFUL.search(result.stderr), result.stderr


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of three classes and a store of a run on them, where every name that somebody chooses is hostile."""
    folder = tmp_path_factory.mktemp("odd") / "\x1b[32mfolder"
    folder.mkdir()
    draw = np.random.default_rng(0)
    for split, count in (("train", 3), ("val", 2), ("test", 5)):
        for label, name in enumerate(HOSTILE[:3]):
            for number in range(count):
                path = (
                    folder / "photos" / split / name / f"{HOSTILE[(number + label * count) % len(HOSTILE)].replace('/', '')} {number}.png"
                )
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = np.clip(draw.normal(90 * label + 30, 25, (32, 32, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(path)
    (folder / "photos" / "test" / HOSTILE[0] / "\x1b[31mbroken.png").write_text("no picture")
    done = call("run", "--data", folder / "photos", *RUN, "--store", folder / "store")
    assert done.exit_code == 0, done.output
    is_harmless(done)
    return folder


VIEWS = ("samples", "affinity", "artifacts")


@pytest.mark.failure("odd output")
def test_no_command_says_a_name_as_it_is(world: Path, tmp_path: Path, case: Case) -> None:
    store = ("--store", world / "store")
    same = ("--data", world / "photos", *RUN, *store)
    images = next((world / "store/images").iterdir())
    red, there = "\x1b[31m", world / "photos/test"
    lines: list[tuple[object, ...]] = [
        *(("run", *same, *more) for more in ((), ("--json",))), ("train", "--data", red),
        *(("status", *same, *more) for more in ((), ("--json",))), ("build-cache", "--set", f"{red}=1"),
        *(("show", images, *store, *more) for more in ((), ("--json",))), ("diff", images, images, *store), ("verify", *store),
        ("gc", *store), ("report", "-o", tmp_path / f"{red}report.html", *store), ("verify", "--store", world / red),
        *(("predict", there, *store, more) for more in ("--explain", "--json")), ("predict", next(there.rglob("*broken.png")), *store),
        ("predict", world / "\x1b]0;absent\x07.png", *store), *(("export", tmp_path / f"{red}out", *store) for _ in range(2)),
        *(("init", "--data", red, "--config", tmp_path / f"{red}.toml") for _ in range(2)), ("bench", "--features", red, *store),
        ("datasets", "check", "dtd", "--root", world), ("import", "tip-adapter", world, *store), ("ablate", red, "--data", world),
        ("sql", f'select 1 as "{red}"', *store), ("sql", f"select {red}", *store), ("sql", "-f", world / f"{red}.sql", *store),
    ]  # fmt: skip
    for words in lines:
        with case():
            is_harmless(call(*words))
    for form in FORMATS:
        for view in VIEWS:
            with case():
                result = call("sql", f"from {view} limit 20", "--format", form, *store)
                assert result.exit_code == 0, result.stderr
                is_harmless(result, form)
        with case():
            is_harmless(call("status", *same, "--format", form), form)
    with case():
        is_harmless(call("predict", there, "--format", "csv", *store), "csv")


@pytest.mark.failure("odd output")
@pytest.mark.parametrize("name", COMMANDS)
def test_no_word_of_a_wrong_command_line_is_said_as_it_is(name: str, case: Case) -> None:
    for hostile in (HOSTILE[3], HOSTILE[5]):
        for words in ((name, f"--{hostile}"), (name, "--json", hostile, hostile, hostile), (f"{hostile}{name}",), ("help", hostile)):
            with case():
                is_harmless(call(*words, "--store", "nosuch"))


def on_a_terminal(*words: object) -> str:
    """What a command prints on a terminal, without the colours that it is right to print."""
    ours, theirs = os.openpty()
    read: list[bytes] = []

    def reading() -> None:
        with contextlib.suppress(OSError):
            while part := os.read(ours, 65536):
                read.append(part)

    reader = threading.Thread(target=reading)
    reader.start()
    before = sys.stdout, sys.stderr
    with open(theirs, "w", encoding="utf-8") as terminal:
        sys.stdout = sys.stderr = terminal
        try:
            app([str(word) for word in words], prog_name="xmap", standalone_mode=False)
        finally:
            terminal.flush()
            sys.stdout, sys.stderr = before
    reader.join(10)
    os.close(ours)
    return re.sub(r"\x1b\[[\d;?]*[mKAhl]", "", b"".join(read).decode().replace("\r\n", "\n"))


@pytest.mark.failure("odd output")
def test_on_a_terminal_too(world: Path, monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    store = ("--store", world / "store")
    images = next((world / "store/images").iterdir())
    lines: list[tuple[object, ...]] = [
        *(("sql", f"from {view} limit 9", "--format", form, *store) for view in ("samples", "artifacts") for form in FORMATS),
        ("status", *store), ("show", images, *store), ("verify", *store), ("predict", world / "photos/test", "--format", "csv", *store),
        ("sql", 'select 1 as "\x1b]0;x\x07", 2 as "[red]"', *store),
    ]  # fmt: skip
    for words in lines:
        with case():
            said = on_a_terminal(*words)
            assert said.strip()
            # A bar goes back to the beginning of its line.
            assert not HARMFUL.search(said.replace("\r", "")), words


SIGNS = "\x1b\x9b\x07\x08\x7f\u202e\u2066\u200f\u2028[]0;31mab é猫=+-@,'\"|&\\{}%$#_~^\t\r\n"
NAMES = st.text(st.sampled_from(SIGNS) | st.characters(codec="utf-8"), max_size=24)


@settings(max_examples=5)
@given(NAMES, NAMES, NAMES, NAMES)
def test_whatever_an_artifact_is_called(
    tmp_path_factory: pytest.TempPathFactory, name: str, setting: str, value: str, command: str
) -> None:
    root = tmp_path_factory.mktemp("called") / "store"
    for stage in ("made", "up"):
        with Store(root).build(Identity(stage, name or "x", {f"s{setting}": value}, command=command)) as draft:
            assert isinstance(draft, Draft)
            write_bytes(draft.path / "data", b"data")
            artifact = draft.commit({f"c{setting}": [value]}, device="cpu")
    store = ("--store", root)
    for words in (("status",), ("show", artifact.fingerprint), ("diff", artifact.fingerprint, artifact.fingerprint), ("verify",), ("gc",)):
        is_harmless(call(*words, *store))
    for form in FORMATS:
        is_harmless(call("sql", "from artifacts", "--format", form, *store), form)
    (artifact.path / "data").write_bytes(b"other")
    is_harmless(call("verify", *store))


def test_nothing_is_printed_past_the_door() -> None:
    """What is printed is a line of our own, or has been made plain."""
    wrong = []
    for path in sorted((ROOT / "xmap" / "cli").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("typer.echo", "print", "click.echo"):
                text = ast.unparse(node.args[0]) if node.args else "''"
                made = any(word in text for word in ("plain(", "json", "marked(", "_cell", "_piped", "_ampersands", "_records", "version("))
                if path.name != "console.py" and not made and isinstance(node.args[0] if node.args else None, ast.JoinedStr):
                    wrong.append(f"{path.name}: {text}")
    assert wrong == []


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
def out(world: Path) -> Iterator[Path]:
    folder = world / "out"
    folder.mkdir()
    yield folder
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


@pytest.mark.promise
@pytest.mark.failure("odd output")
@pytest.mark.parametrize("name", WRITERS)
def test_output_is_whole_or_absent(
    name: str, world: Path, out: Path, disk_with_room: Callable[[int], contextlib.AbstractContextManager[None]], case: Case
) -> None:
    """On a disk that is full at some byte of the output, the old file stays as it is; with room it is there whole, behind its link."""
    words = (*WRITERS[name](out), "--store", world / "store")
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
def test_what_cannot_be_written_is_said_before_any_work(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
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
    store = ("--store", world / "store")
    writing = ("sql", "from runs"), ("predict", world), ("report",), ("run", world), ("eval",), ("status",), ("bench",)
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


def test_a_dash_is_stdout(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = ("--store", world / "store")
    assert call("sql", "select 1 as n", "-o", "-", "--format", "csv", *store).stdout.split() == ["n", "1"]
    assert call("report", "-o", "-", *store).stdout.startswith("<!doctype html>")
    assert call("init", "--config", "-", "--shots", "3").stdout.startswith("# xmap's settings")
    assert call("predict", next((world / "photos/test").rglob("* 0.png")), "-o", "-", "--json", *store).stdout.startswith("{")
    assert os.listdir(tmp_path) == []
