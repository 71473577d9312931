"""A disk that is full at any byte, a real one that is too small, and a store without permission: one sentence, nothing half done."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.promises.conftest import Commands, Control, Ended, fresh
from tests.worlds.faults import Case
from tests.worlds.runs import RUN, is_memory, tree
from xmap.pipeline.upkeep.packs import wrong
from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.locks import SHARED

FULL = re.compile(r"xmap: the disk is full: (\S+) needs at least ([\d,]+) bytes, ([\d,]+) are free; free some space and run .*kept\.")


def bytes_of(control: Control) -> int:
    return sum(path.stat().st_size for path in control.store.rglob("*.*") if not is_memory(path, control.store))


def is_one_sentence(ended: Ended) -> None:
    assert ended.code == 2
    *progress, last = ended.stderr.splitlines()
    assert FULL.fullmatch(last), ended.stderr
    assert not any(line.startswith("xmap:") or "Traceback" in line for line in progress)


def full(commands: Commands, world: Path, store: Path, control: Control, room: int) -> None:
    is_one_sentence(commands(*RUN, cwd=world, store=store, fault=("full", room)))
    assert list(store.rglob("*.partial")) == []
    survey = Store(store).survey()
    assert survey.damaged == {}
    assert [damage for artifact in survey.artifacts for damage in artifact.verify()] == wrong(Store(store)) == []
    # What is there is whole: it stays as it is when there is room again.
    before = {path: path.stat().st_ino for path in store.rglob("*.parquet")}
    again = commands(*RUN, cwd=world, store=store)
    assert again.code == 0, again.stderr
    kept = [path for path, inode in before.items() if path.stat().st_ino == inode]
    packs = [path for path in before if path.parent.parent.name == SHARED]
    assert [path for path in packs if path not in kept] == []
    assert tree(store) == control.tree


@pytest.mark.promise
@pytest.mark.failure("disk full")
def test_a_disk_full_at_any_byte_is_one_sentence_and_what_is_finished_is_kept(
    commands: Commands, world: Path, control: Control, tmp_path: Path, case: Case
) -> None:
    whole = bytes_of(control)
    for room in (0, *range(whole // 7, whole - 2000, whole // 3)):
        with case():
            full(commands, world, tmp_path / str(room), control, room)


@pytest.mark.thorough
@pytest.mark.timeout(3000)
@pytest.mark.failure("disk full")
@pytest.mark.parametrize("part", range(4))
def test_a_disk_full_at_each_of_many_bytes(
    commands: Commands, world: Path, control: Control, tmp_path: Path, case: Case, part: int
) -> None:
    whole = bytes_of(control)
    for room in range(part * 137, whole - 2000, 4 * 137 * 3):
        with case():
            full(commands, world, tmp_path / str(room), control, room)


@pytest.mark.failure("disk full")
@pytest.mark.timeout(120)
def test_an_error_in_mid_extraction_leaves_no_process_that_waits(world: Path, small_disk: Callable[[int], Path]) -> None:
    """As a shell runs it, with workers in mid-batch: it once told the error and then waited for ever for its workers."""
    is_one_sentence(fresh(*RUN, "--workers", "2", cwd=world, store=small_disk(3 * 4096) / "store"))


@pytest.mark.failure("disk full")
def test_a_real_disk_that_is_too_small(
    commands: Commands, world: Path, control: Control, small_disk: Callable[[int], Path], case: Case
) -> None:
    for pages in (3, 20):
        with case():
            disk = small_disk(pages * 4096)
            store = disk / "store"
            is_one_sentence(commands(*RUN, cwd=world, store=store))
            assert list(store.rglob("*.partial")) == []
            survey = Store(store).survey()
            assert survey.damaged == {}
            assert [damage for artifact in survey.artifacts for damage in artifact.verify()] == []
            command = ["mount", "-o", "remount,size=8m", str(disk)]
            subprocess.run(command, check=True)
            assert commands(*RUN, cwd=world, store=store).code == 0
            assert tree(store) == control.tree


# ---- permission


@pytest.fixture
def foreign(control: Control, world: Path) -> Iterator[Path]:
    """A finished store, and the world, that may only be read."""
    with tempfile.TemporaryDirectory(prefix="xmap-") as name:
        folder = Path(name)
        shutil.copytree(world, folder / "world")
        shutil.copytree(control.store, folder / "store")
        paths = [folder, *folder.rglob("*")]
        for path in paths:
            path.chmod(0o555)
        yield folder
        for path in paths:
            path.chmod(0o755)


@pytest.mark.promise
@pytest.mark.failure("no permission")
def test_a_store_that_may_only_be_read_serves_readers_and_refuses_writers_in_one_sentence(
    commands: Commands, control: Control, foreign: Path, case: Case
) -> None:
    world, store = foreign / "world", foreign / "store"

    def call(*argv: str) -> Ended:
        return commands(*argv, cwd=world, store=store, fault=("obey", 0))

    for argv in (RUN, ["sql", "select count(*) as n from affinity"], ["verify"], ["status", *RUN[1:]], ["gc", *RUN[1:]]):
        with case():
            ended = call(*argv)
            assert ended.code == 0, ended.stderr
    writers = ([*RUN, "--shots", "1"], ["gc", "--yes", next(store.glob("eval/*")).name], ["sql", "select 1 as x", "-o", "x.parquet"])
    for argv in writers:
        with case():
            ended = call(*argv)
            assert ended.code == 2
            assert "no permission to write" in ended.stderr.splitlines()[-1]
            assert "Traceback" not in ended.stderr
    assert tree(store) == control.tree


@pytest.mark.failure("no permission")
def test_a_place_where_no_store_may_be_made(commands: Commands, foreign: Path, case: Case) -> None:
    for store in (foreign / "new", Path("/proc/store"), foreign / "world" / "model" / "open_clip_config.json"):
        with case():
            ended = commands(*RUN, cwd=foreign / "world", store=store, fault=("obey", 0))
            assert ended.code == 2
            assert ended.stderr.startswith("xmap: ")
            assert "--store DIR" in ended.stderr
            assert len(ended.stderr.splitlines()) == 1
