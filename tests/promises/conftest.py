"""Command lines in forked children of a warm process, and stores compared byte by byte."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from tests.worlds.hostile_names import hostile_run
from tests.worlds.runs import RUN, tree, write_world

ROOT = Path(__file__).resolve().parents[2]
Fault = tuple[str, int]
WELL: Fault = ("none", 0)


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code (negative for a signal) and what it said."""

    code: int
    stdout: str
    stderr: str


class Commands:
    """Runs command lines in children of one warm process."""

    def __init__(self, server: subprocess.Popen[str], said: Path) -> None:
        self._server, self._said, self._number = server, said, 0

    def __call__(self, *argv: str, cwd: Path, store: Path, fault: Fault = WELL, tracer: Sequence[str] = ()) -> Ended:
        self.start(1, *argv, cwd=cwd, store=store, fault=fault, tracer=tracer)
        return self.wait()[0]

    def together(self, times: int, *argv: str, cwd: Path, store: Path, fault: Fault = WELL) -> list[Ended]:
        """The same command `times` at once."""
        self.start(times, *argv, cwd=cwd, store=store, fault=fault)
        return self.wait()

    def start(self, times: int, *argv: str, cwd: Path, store: Path, fault: Fault = WELL, tracer: Sequence[str] = ()) -> list[int]:
        """Start the same command `times` at once; their process groups. `wait` must follow."""
        self._number += 1
        said = str(self._said / str(self._number))
        job = {"argv": argv, "cwd": str(cwd), "store": str(store), "said": said, "fault": fault, "times": times, "tracer": tracer}
        assert self._server.stdin is not None
        print(json.dumps(job), file=self._server.stdin, flush=True)
        children: list[int] = self.answer()
        return children

    def start_each(self, each: Sequence[tuple[Sequence[str], Fault]], cwd: Path, store: Path, witness: Path) -> list[int]:
        """Start several commands at once, each with its fault; what they do to the store is told in `witness`. `wait` must follow."""
        self._number += 1
        said = str(self._said / str(self._number))
        listed = [{"argv": list(argv), "fault": fault} for argv, fault in each]
        job = {
            "cwd": str(cwd),
            "store": str(store),
            "said": said,
            "times": len(each),
            "each": listed,
            "witness": str(witness),
            "tracer": (),
        }
        assert self._server.stdin is not None
        print(json.dumps(job), file=self._server.stdin, flush=True)
        children: list[int] = self.answer()
        return children

    def ended(self) -> bool:
        """Whether those that were started have ended."""
        assert self._server.stdout is not None
        return bool(select.select([self._server.stdout], [], [], 0)[0])

    def wait(self) -> list[Ended]:
        """How those that were started ended."""
        codes = self.answer()
        said = [[self._text(f"{self._number}.{child}.{suffix}") for suffix in ("out", "err")] for child in range(len(codes))]
        return [Ended(code, *texts) for code, texts in zip(codes, said, strict=True)]

    def _text(self, name: str) -> str:
        # One that was killed at once has said nothing.
        path = self._said / name
        return path.read_text() if path.exists() else ""

    def answer(self) -> Any:
        assert self._server.stdout is not None
        line = self._server.stdout.readline()
        assert line, "the server of commands has died"
        return json.loads(line)


def fresh(*argv: str, cwd: Path, store: Path, before: Sequence[str] = (), stderr: IO[str] | int = subprocess.PIPE) -> Ended:
    """A command line in a process of its own, as a shell starts it, `before` it the words of a command that starts it."""
    command = [*before, sys.executable, "-c", "from xmap.cli.main import main; main()", *argv, "--store", str(store)]
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=stderr, text=True, check=False)
    return Ended(done.returncode, done.stdout, done.stderr or "")


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """`commands("run", ..., cwd=, store=, fault=)`: a command line in a child that may die of a fault."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    arguments = [sys.executable, "-m", "tests.promises.server"]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment) as server:
        made = Commands(server, tmp_path_factory.mktemp("said"))
        assert made.answer() == "ready"
        yield made
        assert server.stdin is not None
        server.stdin.close()


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to give the commands of `tests.worlds.runs` in. Not to be changed by tests."""
    return write_world(tmp_path_factory.mktemp("world"))


@dataclass(frozen=True)
class Control:
    """An undisturbed run: its store, what is in it, and how many write points it passed."""

    store: Path
    tree: dict[str, Any]
    points: int


@pytest.fixture(scope="session")
def control(commands: Commands, world: Path, tmp_path_factory: pytest.TempPathFactory) -> Control:
    store = tmp_path_factory.mktemp("control") / "store"
    ended = commands(*RUN, cwd=world, store=store, fault=("count", 0))
    assert ended.code == 0, ended.stderr
    return Control(store, tree(store), int(ended.stderr.splitlines()[-1]))


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images and a store of a run on them, where every name that somebody chooses is hostile."""
    return hostile_run(tmp_path_factory.mktemp("hostile"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """`small_disk(bytes)` is an empty file system of that size."""
    mounted: list[Path] = []

    def mount(size: int) -> Path:
        folder = tmp_path / f"disk{size}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)  # noqa: S607
