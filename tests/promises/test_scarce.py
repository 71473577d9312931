"""A process that may open few files, or map little more memory: a sentence or a full result, and nothing called damaged for it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.promises.conftest import Commands, Control, Fault, fresh
from tests.promises.test_interruption import goes_on, is_sound
from tests.promises.test_passing_errors import is_said
from tests.worlds.faults import Case
from tests.worlds.runs import FEATURES, RUN, tree
from xmap.store.disk.memory_limit import GROUPS

# Files beside those that are open at the start are few; megabytes beside what is mapped then. With none at all Python waits for ever
# for a thread that could not begin.
LIMITS: Sequence[Fault] = [*(("files", count) for count in (5, 8, 12, 64)), *(("memory", megabytes) for megabytes in (8, 64))]
FEW: Fault = ("files", 8)


def on_a_finished_store(store: Path, out: Path) -> list[list[str]]:
    evaluation = next(store.glob("eval/*")).name
    return [
        ["status"],
        ["verify"],
        ["sql", "from artifacts"],
        ["sql", "select count(*) from features"],
        ["gc"],
        ["predict", "photos", "--model", "local-dir:model"],
        ["show", evaluation],
        ["report", "-o", str(out / "report.html")],
        ["export", str(out / "exported")],
    ]


def run_in_need(commands: Commands, world: Path, control: Control, store: Path, limit: Fault) -> None:
    ended = commands(*RUN, cwd=world, store=store, fault=limit)
    if ended.code:
        is_said(ended)
    else:
        assert tree(store) == control.tree
    is_sound(store)
    goes_on(commands, RUN, world, store, control.tree)


def ask_in_need(commands: Commands, world: Path, control: Control, argv: list[str], limit: Fault) -> None:
    ended = commands(*argv, cwd=world, store=control.store, fault=limit)
    if ended.code:
        is_said(ended)
        assert "damaged" not in ended.stderr
    assert tree(control.store) == control.tree


@pytest.mark.failure("scarce machine")
def test_few_open_files_are_one_sentence_and_no_damage(
    commands: Commands, world: Path, control: Control, tmp_path: Path, case: Case
) -> None:
    with case():
        run_in_need(commands, world, control, tmp_path / "store", FEW)
    with case():
        ask_in_need(commands, world, control, ["verify"], FEW)


@pytest.mark.thorough
@pytest.mark.failure("scarce machine")
@pytest.mark.parametrize("limit", LIMITS)
def test_every_command_with_few_files_and_little_memory(
    commands: Commands, world: Path, control: Control, tmp_path: Path, case: Case, limit: Fault
) -> None:
    with case():
        run_in_need(commands, world, control, tmp_path / "store", limit)
    for argv in on_a_finished_store(control.store, tmp_path):
        with case():
            ask_in_need(commands, world, control, argv, limit)


def begun_by(what: str, *before: str) -> Sequence[str]:
    """The words before a command that give it what it is to live with; skips where they cannot."""
    tried = subprocess.run([*before, "true"], capture_output=True, text=True, check=False) if shutil.which(before[0]) else None
    if tried is None or tried.returncode:
        pytest.skip(f"no process gets {what} here: {tried.stderr.splitlines()[0] if tried else f'{before[0]} is not installed'}")
    return before


def mounted(what: str, *mounts: str) -> Sequence[str]:
    """The words before a command that mount so for it alone."""
    return begun_by(what, "unshare", "--mount", "sh", "-c", " && ".join([*mounts, 'exec "$@"']), "sh")


@pytest.mark.thorough
@pytest.mark.failure("scarce machine")
def test_every_stage_ends_well_with_little_shared_memory(world: Path, tmp_path: Path, case: Case) -> None:
    before = mounted("shared memory of its own", "mount -t tmpfs -o size=64k tmpfs /dev/shm")
    cached = ["build-cache", *FEATURES, "--seeds", "1", "--shots", "2"]
    for argv in (["extract", *FEATURES], cached, ["train", *RUN[1:]], ["eval", *RUN[1:]]):
        with case():
            # The same beside it in processes alike: those of the control have another number of threads.
            for place, words in (("little", before), ("usual", ())):
                ended = fresh(*argv, "--workers", "2", cwd=world, store=tmp_path / place, before=words)
                assert ended.code == 0, ended.stderr
    assert tree(tmp_path / "little") == tree(tmp_path / "usual")


@pytest.mark.thorough
@pytest.mark.failure("scarce machine")
def test_a_service_with_a_limit_of_memory_knows_it_and_ends_well(world: Path, control: Control, tmp_path: Path, case: Case) -> None:
    limit = 2 << 30
    before = begun_by("a limit of memory", "systemd-run", "--scope", "--quiet", "--property", f"MemoryMax={limit}")
    with case():
        asked = "from xmap.store.disk.memory_limit import memory_bytes; print(memory_bytes())"
        done = subprocess.run([*before, sys.executable, "-c", asked], capture_output=True, text=True, check=True)
        assert int(done.stdout) == limit
    with case():
        ended = fresh(*RUN, cwd=world, store=tmp_path, before=before)
        assert ended.code == 0, ended.stderr
        assert tree(tmp_path) == control.tree


@pytest.mark.thorough
@pytest.mark.failure("scarce machine")
def test_a_container_that_leaves_no_memory_is_one_sentence_and_no_damage(world: Path, control: Control, tmp_path: Path, case: Case) -> None:
    """As the system tells it of groups of both versions: a megabyte, of which all is taken."""
    files = ("memory.max", "memory.current", "memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")
    told = [f"echo 1000000 > {GROUPS / name}" for name in files]
    before = mounted("groups of its own", f"mount -t tmpfs tmpfs {GROUPS}", f"mkdir {GROUPS}/memory", *told)
    store = tmp_path / "store"
    shutil.copytree(control.store, store)
    for argv, code in (([*RUN, "--shots", "1"], 2), (["sql", "select count(*) from features"], 2), (["verify"], 0), (RUN, 0)):
        with case():
            ended = fresh(*argv, cwd=world, store=store, before=before)
            if code:
                is_said(ended)
            assert (ended.code, "damaged" in ended.stderr) == (code, False), ended.stderr
    is_sound(store)
