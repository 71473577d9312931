"""Killed, interrupted or told to end at any write point of any stage: artifacts are whole or absent, and a rerun ends the same."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.promises.conftest import Commands, Control
from tests.worlds.faults import Case
from tests.worlds.inputs import write_layout
from tests.worlds.runs import RUN, tree
from xmap.pipeline.upkeep.packs import wrong
from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.locks import alone

SAMPLE = 6
PARTS = 8
GO_ON = "xmap: interrupted; finished parts are kept, run the same command again to go on."


def sample(points: int, count: int) -> range:
    """Some points, evenly over all of them and the same every time."""
    return range(points // (2 * count), points, max(1, points // count))


def is_sound(store: Path) -> None:
    """Every artifact is whole or absent, and so is every pack of features."""
    survey = Store(store).survey()
    assert survey.damaged == {}
    assert [damage for artifact in survey.artifacts for damage in artifact.verify()] == wrong(Store(store)) == []


def goes_on(commands: Commands, argv: list[str], world: Path, store: Path, expected: dict[str, object]) -> None:
    again = commands(*argv, cwd=world, store=store)
    assert again.code == 0, again.stderr
    assert tree(store) == expected
    assert list(store.rglob("*.partial")) == []
    # A rerun with nothing to build takes no lock, so a dead process's may lie there; it stops nobody.
    with alone(store):
        assert list(store.glob("locks/run-*")) == []


def killed(commands: Commands, world: Path, store: Path, control: Control, point: int) -> None:
    ended = commands(*RUN, cwd=world, store=store, fault=("kill", point))
    assert ended.code == -signal.SIGKILL
    is_sound(store)
    goes_on(commands, RUN, world, store, control.tree)


@pytest.mark.promise
@pytest.mark.failure("killed")
def test_killed_at_a_write_point_of_any_stage_a_rerun_gives_the_same_bytes(
    commands: Commands, world: Path, control: Control, tmp_path: Path, case: Case
) -> None:
    for point in sample(control.points, SAMPLE):
        with case():
            killed(commands, world, tmp_path / str(point), control, point)


@pytest.mark.thorough
@pytest.mark.timeout(3000)
@pytest.mark.failure("killed")
@pytest.mark.parametrize("part", range(PARTS))
def test_killed_at_every_write_point_of_every_stage(
    commands: Commands, world: Path, control: Control, tmp_path: Path, case: Case, part: int
) -> None:
    for point in range(part, control.points, PARTS):
        with case():
            killed(commands, world, tmp_path / str(point), control, point)


def import_points(commands: Commands, world: Path, store: Path) -> int:
    ended = commands(*IMPORT, cwd=world, store=store, fault=("count", 0))
    assert ended.code == 0, ended.stderr
    return int(ended.stderr.splitlines()[-1])


IMPORT = ["import", "tip-adapter", "layout", "--name", "taken"]


@pytest.mark.thorough
@pytest.mark.failure("killed")
def test_an_import_killed_at_every_write_point(commands: Commands, tmp_path: Path, case: Case) -> None:
    write_layout(tmp_path / "layout")
    points = import_points(commands, tmp_path, tmp_path / "control")
    expected = tree(tmp_path / "control")
    for point in range(points):
        with case():
            store = tmp_path / str(point)
            assert commands(*IMPORT, cwd=tmp_path, store=store, fault=("kill", point)).code == -signal.SIGKILL
            is_sound(store)
            goes_on(commands, IMPORT, tmp_path, store, expected)


def interrupted(commands: Commands, world: Path, store: Path, control: Control, fault: tuple[str, int]) -> None:
    ended = commands(*RUN, cwd=world, store=store, fault=fault)
    assert (ended.code, ended.stderr.splitlines()[-1]) == (130, GO_ON)
    assert "Traceback" not in ended.stderr
    assert list(store.rglob("*.partial")) == []
    is_sound(store)
    goes_on(commands, RUN, world, store, control.tree)


@pytest.mark.promise
@pytest.mark.failure("interrupted")
@pytest.mark.parametrize("kind", ["interrupt", "terminate"])
def test_interrupted_it_exits_130_says_how_to_go_on_and_does(
    commands: Commands, world: Path, control: Control, tmp_path: Path, case: Case, kind: str
) -> None:
    for point in sample(control.points, 2):
        with case():
            interrupted(commands, world, tmp_path / str(point), control, (kind, point))


@pytest.mark.thorough
@pytest.mark.timeout(3000)
@pytest.mark.failure("interrupted")
@pytest.mark.parametrize("part", range(PARTS))
def test_interrupted_at_every_write_point(commands: Commands, world: Path, control: Control, tmp_path: Path, case: Case, part: int) -> None:
    for number, point in enumerate(range(3 * part, control.points, 3 * PARTS)):
        with case():
            kind = ("interrupt", "terminate")[number % 2]
            interrupted(commands, world, tmp_path / str(point), control, (kind, point))


@pytest.mark.failure("interrupted")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_reaches_workers_too_and_only_one_process_speaks(
    commands: Commands, world: Path, control: Control, tmp_path: Path, number: int
) -> None:
    store = tmp_path / "store"
    (group,) = commands.start(1, *RUN, "--workers", "2", cwd=world, store=store)
    limit = time.monotonic() + 60
    while not list(store.glob("images/*/train-*")) and time.monotonic() < limit:
        time.sleep(0.002)
    os.killpg(group, number)
    (ended,) = commands.wait()
    assert ended.code == 130
    assert ended.stderr.splitlines()[-1] == GO_ON
    assert "Traceback" not in ended.stderr
    is_sound(store)
    goes_on(commands, [*RUN, "--workers", "2"], world, store, control.tree)


@pytest.mark.failure("killed")
def test_a_killed_extraction_keeps_its_finished_packs(commands: Commands, world: Path, control: Control, tmp_path: Path) -> None:
    """Their rows are not encoded again: their inodes stay."""
    store = tmp_path / "store"
    point = control.points // 5
    assert commands(*RUN, cwd=world, store=store, fault=("kill", point)).code == -signal.SIGKILL
    before = {path: path.stat().st_ino for path in store.glob("features/*/*.parquet")}
    assert before
    assert commands(*RUN, cwd=world, store=store).code == 0
    assert {path: path.stat().st_ino for path in before} == before
    assert tree(store) == control.tree
