"""No name, path, setting or message in what is printed says anything to a terminal, in whatever format."""

from __future__ import annotations

import ast
import contextlib
import os
import re
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.worlds.commands import call
from tests.worlds.faults import Case
from tests.worlds.hostile_names import HARMFUL, HOSTILE, RUN, is_harmless
from xmap.cli.help import COMMANDS
from xmap.cli.main import app
from xmap.store.artifacts.artifact import Draft, Store
from xmap.store.artifacts.identity import Identity
from xmap.store.disk.files import write_bytes

ROOT = Path(__file__).resolve().parents[2]
FORMATS = ("table", "csv", "json", "jsonl", "markdown", "latex")
VIEWS = ("samples", "affinity", "artifacts")


@pytest.mark.failure("odd output")
def test_no_command_says_a_name_as_it_is(hostile: Path, tmp_path: Path, case: Case) -> None:
    store = ("--store", hostile / "store")
    same = ("--data", hostile / "photos", *RUN, *store)
    images = next((hostile / "store/images").iterdir())
    red, there = "\x1b[31m", hostile / "photos/test"
    lines: list[tuple[object, ...]] = [
        *(("run", *same, *more) for more in ((), ("--json",))), ("train", "--data", red),
        *(("status", *same, *more) for more in ((), ("--json",))), ("build-cache", "--set", f"{red}=1"),
        *(("show", images, *store, *more) for more in ((), ("--json",))), ("diff", images, images, *store), ("verify", *store),
        ("gc", *store), ("report", "-o", tmp_path / f"{red}report.html", *store), ("verify", "--store", hostile / red),
        *(("predict", there, *store, more) for more in ("--explain", "--json")), ("predict", next(there.rglob("*broken.png")), *store),
        ("predict", hostile / "\x1b]0;absent\x07.png", *store), *(("export", tmp_path / f"{red}out", *store) for _ in range(2)),
        *(("init", "--data", red, "--config", tmp_path / f"{red}.toml") for _ in range(2)), ("bench", "--features", red, *store),
        ("datasets", "check", "dtd", "--root", hostile), ("import", "tip-adapter", hostile, *store), ("ablate", red, "--data", hostile),
        ("sql", f'select 1 as "{red}"', *store), ("sql", f"select {red}", *store), ("sql", "-f", hostile / f"{red}.sql", *store),
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
def test_on_a_terminal_too(hostile: Path, monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    store = ("--store", hostile / "store")
    images = next((hostile / "store/images").iterdir())
    lines: list[tuple[object, ...]] = [
        *(("sql", f"from {view} limit 9", "--format", form, *store) for view in ("samples", "artifacts") for form in FORMATS),
        ("status", *store), ("show", images, *store), ("verify", *store), ("predict", hostile / "photos/test", "--format", "csv", *store),
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
