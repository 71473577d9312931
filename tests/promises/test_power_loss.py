"""The power goes at any moment: whatever POSIX lets a disk keep, artifacts are whole or absent, and a rerun ends the same."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.promises.conftest import Commands, Control
from tests.promises.test_interruption import is_sound
from tests.worlds.faults import Case
from tests.worlds.file_system import Disk
from tests.worlds.power import Cut, State, lay_out, nothing, states, unwritten
from tests.worlds.runs import RUN, tree
from tests.worlds.strace import calls_in, needed, recording

OUT, EVALUATION = "out", "evaluation"
# From a finished run on: what is recorded, and what is run after a cut.
SCENES: dict[str, tuple[list[str], list[str]]] = {
    "another setting": ([*RUN, "--shots", "1"], [*RUN, "--shots", "1"]),
    "augmented views": ([*RUN, "--views", "2"], [*RUN, "--views", "2"]),
    "tuned texts": ([*RUN, "--set", "text.text=coop", "--set", "text.context_epochs=1"],) * 2,
    "kept answers": (["predict", "photos", "--store-as", "kept", "--model", "local-dir:model"],) * 2,
    "everything removed": (["gc", "--yes", EVALUATION], RUN),
    "packs joined": (["gc", "--yes", "--compact"],) * 2,
    "exported": (["export", OUT], RUN),
}
# Of the states of a record: those in which a store is looked at in the process, and those on which commands are run.
LOOKED, RAN = 30, 2
LOOKED_LONG, RAN_LONG = 120, 8


@dataclass(frozen=True)
class Record:
    """What one command asked of the system below `root`: the states a cut leaves, and the last one of these."""

    root: Path
    states: list[tuple[str, State]]
    end: State


def recorded(commands: Commands, cwd: Path, root: Path, argv: Sequence[str], log: Path) -> Record:
    disk = Disk(root, cwd)
    ended = commands(*argv, cwd=cwd, store=root / "store", tracer=recording(log))
    assert ended.code == 0, ended.stderr
    found = list(states(disk, list(calls_in(log))))
    return Record(root, found, dict(Cut(nothing, unwritten).state(disk.top)))


def some(found: Sequence[Any], count: int) -> Iterator[Any]:
    """Some, evenly over all of them and the same every time."""
    yield from found[len(found) // (2 * count) :: max(1, len(found) // count)]


def after_a_cut(commands: Commands, world: Path, root: Path, again: Sequence[str], expected: dict[str, Any]) -> None:
    """The commands that people run then, on a disk in one of the states."""
    store = root / "store"
    for argv in (["status"], ["verify"]):
        ended = commands(*argv, cwd=world, store=store)
        assert ended.code == (0 if store.exists() else 2), ended.stdout + ended.stderr
        assert len(ended.stderr.splitlines()) <= 1
        assert "Traceback" not in ended.stderr
    ended = commands(*again, cwd=world, store=store)
    assert ended.code == 0, ended.stderr
    assert tree(store) == expected


def try_cuts(record: Record, tmp_path: Path, case: Case, count: int) -> None:
    for number, (name, state) in enumerate(some(record.states, count)):
        with case():
            root = lay_out(state, tmp_path / f"look{number}")
            try:
                is_sound(root / "store")
                whole_or_absent(root / OUT, record.root / OUT)
            except AssertionError as error:
                raise AssertionError(f"{name}: {error}") from error
            shutil.rmtree(root)


def whole_or_absent(made: Path, expected: Path) -> None:
    if made.exists():
        files = {path.relative_to(made): path.read_bytes() for path in made.rglob("*") if path.is_file()}
        assert files == {path.relative_to(expected): path.read_bytes() for path in expected.rglob("*") if path.is_file()}


@needed
@pytest.mark.promise
@pytest.mark.failure("power lost")
def test_power_lost_in_a_run_artifacts_are_whole_or_absent_and_a_rerun_gives_the_same_bytes(
    commands: Commands, world: Path, control: Control, tmp_path: Path, case: Case
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    record = recorded(commands, world, root, RUN, tmp_path / "log")
    # Done is done: nothing that a finished command said is lost.
    assert tree(lay_out(record.end, tmp_path / "end") / "store") == control.tree
    try_cuts(record, tmp_path, case, LOOKED)
    for number, (_, state) in enumerate(some(record.states, RAN)):
        with case():
            after_a_cut(commands, world, lay_out(state, tmp_path / str(number)), RUN, control.tree)


@needed
@pytest.mark.thorough
@pytest.mark.timeout(1200)
@pytest.mark.failure("power lost")
@pytest.mark.parametrize("scene", SCENES)
def test_power_lost_in_every_other_stage(commands: Commands, world: Path, control: Control, tmp_path: Path, case: Case, scene: str) -> None:
    argv, again = SCENES[scene]
    root = tmp_path / "root"
    shutil.copytree(control.store, root / "store")
    places = {OUT: str(root / OUT), EVALUATION: next(control.store.glob("eval/*")).name}
    argv = [places.get(word, word) for word in argv]
    record = recorded(commands, world, root, argv, tmp_path / "log")
    shutil.copytree(root / "store", tmp_path / "whole")
    assert commands(*again, cwd=world, store=tmp_path / "whole").code == 0
    expected = tree(tmp_path / "whole")
    try_cuts(record, tmp_path, case, LOOKED_LONG)
    for number, (_, state) in enumerate(some(record.states, RAN_LONG)):
        with case():
            after_a_cut(commands, world, lay_out(state, tmp_path / str(number)), again, expected)


@needed
def test_the_model_of_a_disk_finds_what_is_written_without_sync(tmp_path: Path) -> None:
    """A writer that renames first and syncs never: its file may have no bytes, zeros, all of them, or not be there."""
    root = tmp_path / "root"
    root.mkdir()
    disk, log = Disk(root, root), tmp_path / "log"
    code = "import os; os.write(os.open('new', os.O_CREAT | os.O_WRONLY), b'abc'); os.rename('new', 'old')"
    subprocess.run([*recording(log)[:-1], sys.executable, "-ISc", code], cwd=root, check=True)
    found = [state for _, state in states(disk, list(calls_in(log)))]
    assert {state.get("old") for state in found} == {None, b"", b"abc", b"\0\0\0"}
