"""How all commands behave: an example in each help, completion in the shell, colour only where it is wanted."""

from __future__ import annotations

import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.test_docs import flags_of
from xmap.cli.main import COMMANDS, app

ROOT = Path(__file__).resolve().parents[2]
MAIN = [sys.executable, "-c", "from xmap.cli.main import main; main()"]
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9[0-7])")
# Each says so with data or a file of its own; progress has a switch wherever something takes long.
QUICK = {"init", "datasets", "status", "show", "diff", "sql"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_has_an_example_that_is_right(name: str) -> None:
    shown = " ".join(CliRunner().invoke(app, [name, "--help"]).stdout.split("Options:")[0].split())
    example = shown.partition("Example: xmap ")[2]
    assert example, "the docstring ends with an example"
    words = shlex.split(example)
    assert words[0] == name
    assert {word for word in words if re.match(r"--?[a-z]", word)} <= flags_of(name)


@pytest.mark.parametrize("name", COMMANDS)
def test_json_everywhere_and_quiet_where_there_is_progress(name: str) -> None:
    assert "--json" in flags_of(name)
    assert name in QUICK or "--quiet" in flags_of(name)


def completed(words: str) -> list[str]:
    """What bash is told after `words`, of which the last is being typed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "_XMAP_COMPLETE": "complete_bash", "COMP_WORDS": words}
    environment["COMP_CWORD"] = str(len(words.split()) - 1)
    return subprocess.run(MAIN, env=environment, capture_output=True, text=True, check=True).stdout.split()


def test_the_shell_completes_commands_flags_and_questions() -> None:
    assert completed("xmap st") == ["status"]
    assert completed("xmap sql label") == ["label-suspects"]
    assert "--explain" in completed("xmap predict --ex")


def on_a_terminal(*words: str, **environment: str) -> str:
    """What a command prints on a terminal."""
    ours, theirs = pty.openpty()
    given = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **environment}
    with subprocess.Popen([*MAIN, *words], env=given, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        parts = []
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:
                # The other end of a pseudo-terminal closes with an error.
                break
            if not part:
                break
            parts.append(part)
    os.close(ours)
    assert process.returncode == 0
    return b"".join(parts).decode()


def test_no_colour_where_told_so_and_none_in_a_pipe() -> None:
    plain = on_a_terminal("datasets", NO_COLOR="1", COLUMNS="200")
    assert "oxford_pets" in plain
    assert not COLOUR.search(plain)
    piped = CliRunner().invoke(app, ["datasets"]).stdout
    assert "\x1b" not in piped
