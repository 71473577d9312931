"""A disk that others fill to the last byte: what is finished is kept, what frees room works, and what is wrong can be said."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.promises.conftest import Commands, Control, fresh
from tests.promises.test_full_disk import is_one_sentence
from tests.promises.test_interruption import is_sound
from tests.worlds.faults import Case
from tests.worlds.runs import FEATURES, RUN, tree
from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.locks import GATE, LOCKS
from xmap.store.disk.files import free_bytes, scratch_file
from xmap.store.disk.reserve import AMPLE, RESERVE, SIZE, reserve_at
from xmap.store.errors import StoreFull
from xmap.store.memory.uses import last_uses

PAGE = 4096
ROOMY = AMPLE + (16 << 20)


def fill(disk: Path, leaving: int = 0) -> Path:
    """Somebody else's file, which takes all of the disk but so many bytes."""
    filler = disk / "filler"
    with open(filler, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, free_bytes(disk) - leaving)
        if not leaving:
            with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
                os.pwrite(file.fileno(), b"x" * PAGE, os.fstat(file.fileno()).st_size)
    assert free_bytes(disk) == leaving
    return filler


@pytest.mark.failure("disk full")
def test_on_a_disk_without_a_byte_every_command_that_frees_or_shows_works(
    commands: Commands, world: Path, control: Control, small_disk: Callable[[int], Path], case: Case
) -> None:
    disk = small_disk(ROOMY)
    store = disk / "store"
    shutil.copytree(control.store, store)
    filler = fill(disk)
    freeing = ["gc", "--yes", next(store.glob("eval/*")).name]
    for argv in (["status"], ["verify"], ["sql", "from artifacts"], ["gc"], RUN, freeing):
        with case():
            ended = commands(*argv, cwd=world, store=store)
            assert ended.code == 0, ended.stderr
    assert not list(store.glob("eval/*"))
    assert free_bytes(disk) > SIZE // 2
    filler.unlink()
    (store / RESERVE).unlink(missing_ok=True)
    assert commands(*RUN, cwd=world, store=store).code == 0
    assert tree(store) == control.tree
    # It is laid by anew when there is room again.
    assert (store / RESERVE).stat().st_size == SIZE


@pytest.mark.failure("disk full")
def test_a_lock_that_gc_needs_gets_the_place_of_the_reserve(
    commands: Commands, world: Path, control: Control, small_disk: Callable[[int], Path]
) -> None:
    """A file system may lack room for one more name, however small the file."""
    disk = small_disk(ROOMY)
    store = disk / "store"
    shutil.copytree(control.store, store)
    (store / LOCKS / GATE).unlink()
    held = os.statvfs(disk)
    command = ["mount", "-o", f"remount,nr_inodes={held.f_files - held.f_ffree}", str(disk)]
    subprocess.run(command, check=True)
    ended = commands("gc", "--yes", next(store.glob("eval/*")).name, cwd=world, store=store)
    assert ended.code == 0, ended.stderr
    assert not list(store.glob("eval/*"))
    assert not (store / RESERVE).exists()


@pytest.mark.failure("disk full")
@pytest.mark.parametrize("lacking", [2, *(pytest.param(pages, marks=pytest.mark.thorough) for pages in (1, 3))])
def test_a_run_whose_data_fitted_ends_with_its_manifest_and_is_the_newest(
    commands: Commands, world: Path, small_disk: Callable[[int], Path], lacking: int
) -> None:
    disk = small_disk(ROOMY)
    whole, store = disk / "whole", disk / "store"
    assert commands("extract", *FEATURES, cwd=world, store=whole).code == 0
    shutil.copytree(whole, store)
    before = free_bytes(disk)
    assert commands(*RUN, cwd=world, store=whole).code == 0
    fill(disk, before - free_bytes(disk) - lacking * PAGE)
    ended = commands(*RUN, cwd=world, store=store)
    assert ended.code == 0, ended.stderr
    assert tree(store) == tree(whole)
    assert not (store / RESERVE).exists()
    (evaluation,) = Store(store).artifacts("eval")
    assert last_uses(store, [evaluation.fingerprint])


@pytest.mark.failure("disk full")
def test_what_is_written_to_be_gone_finds_no_room_in_the_same_words(small_disk: Callable[[int], Path]) -> None:
    disk = small_disk(ROOMY)
    folder = disk / "pairs"
    folder.mkdir()

    def build() -> None:
        with reserve_at(disk), scratch_file(folder) as scratch:
            fill(disk)
            scratch.write(b"x" * PAGE)

    with pytest.raises(StoreFull, match=f"the disk is full: {folder} needs more room, 0 are free"):
        build()
    assert not (disk / RESERVE).exists()


@pytest.mark.thorough
@pytest.mark.failure("disk full")
def test_the_sentence_fits_into_a_log_on_the_same_disk(commands: Commands, world: Path, small_disk: Callable[[int], Path]) -> None:
    disk = small_disk(ROOMY)
    store, log = disk / "store", disk / "log"
    assert commands("extract", *FEATURES, cwd=world, store=store).code == 0
    fill(disk)
    with open(log, "w") as said:
        ended = fresh(*RUN, "--quiet", cwd=world, store=store, stderr=said)
    is_one_sentence(replace(ended, stderr=log.read_text()))
    is_sound(store)
