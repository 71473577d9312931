"""A store's reserve: made where there is room, given up where there is none, and never anybody's way out of the store."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import xmap.store.disk.files
from xmap.store.artifacts.artifact import Artifact, Draft, Store
from xmap.store.artifacts.identity import Identity
from xmap.store.disk.files import system_errors
from xmap.store.disk.reserve import AMPLE, RESERVE, SIZE, reserve_at, spend_reserve
from xmap.store.errors import StoreDenied, StoreFull


def build(root: Path, name: str = "pets") -> Artifact:
    with Store(root).build(Identity("demo", name, {"name": name})) as draft:
        assert isinstance(draft, Draft)
        return draft.commit()


def refused(times: int, number: int = errno.ENOSPC) -> Callable[[], int]:
    """What the system refuses so many times, as on a disk that is full; then how often it was asked for."""
    asked: list[None] = []

    def write() -> int:
        asked.append(None)
        with system_errors(Path("here")):
            if len(asked) <= times:
                raise OSError(number, os.strerror(number))
        return len(asked)

    return write


def test_who_builds_first_lays_it_by_and_it_stays(tmp_path: Path) -> None:
    build(tmp_path)
    first = (tmp_path / RESERVE).stat()
    # Room that is there, whatever the file system packs.
    assert (first.st_size, first.st_blocks * 512 >= SIZE) == (SIZE, True)
    build(tmp_path, "birds")
    assert (tmp_path / RESERVE).stat().st_ino == first.st_ino


def test_none_is_laid_by_where_room_is_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(xmap.store.disk.files, "free_bytes", lambda folder: AMPLE - 1)
        build(tmp_path)
    assert not (tmp_path / RESERVE).exists()
    build(tmp_path, "birds")
    assert (tmp_path / RESERVE).exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_or_quota_gets_one_more_try_in_its_room(tmp_path: Path, number: int) -> None:
    with reserve_at(tmp_path):
        assert spend_reserve(tmp_path, refused(0)) == 1
        assert (tmp_path / RESERVE).exists()
        assert spend_reserve(tmp_path, refused(1, number)) == 2
        assert not (tmp_path / RESERVE).exists()
        # Another process may have spent it: the second try is made all the same.
        assert spend_reserve(tmp_path, refused(1, number)) == 2
    with pytest.raises(StoreFull):
        spend_reserve(tmp_path, refused(2, number))
    with reserve_at(tmp_path):
        assert (tmp_path / RESERVE).exists()


def test_what_is_no_full_disk_is_tried_once(tmp_path: Path) -> None:
    with reserve_at(tmp_path), pytest.raises(StoreDenied):
        spend_reserve(tmp_path, refused(1, errno.EACCES))
    with reserve_at(tmp_path), pytest.raises(OSError, match="Input/output"):
        spend_reserve(tmp_path, refused(1, errno.EIO))
    assert (tmp_path / RESERVE).exists()


def test_work_that_ends_on_a_full_disk_frees_it(tmp_path: Path) -> None:
    with pytest.raises(StoreFull), reserve_at(tmp_path):
        refused(1)()
    assert not (tmp_path / RESERVE).exists()


@pytest.mark.parametrize("kind", ["link", "lost link", "FIFO", "folder"])
def test_what_somebody_put_in_its_place_stays_as_it_is(tmp_path: Path, kind: str) -> None:
    outside, store = tmp_path / "outside", tmp_path / "store"
    outside.write_bytes(b"mine")
    store.mkdir()
    place = store / RESERVE
    {
        "link": lambda: place.symlink_to(outside),
        "lost link": lambda: place.symlink_to(tmp_path / "nowhere"),
        "FIFO": lambda: os.mkfifo(place),
        "folder": place.mkdir,
    }[kind]()
    before = place.lstat()
    build(store)
    assert spend_reserve(store, refused(1)) == 2
    assert place.lstat() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside", "store"]
    assert outside.read_bytes() == b"mine"


@pytest.mark.parametrize("there", [False, True])
def test_what_a_killed_process_left_of_one_goes(tmp_path: Path, there: bool) -> None:
    if there:
        build(tmp_path)
    (tmp_path / f".{RESERVE}.00.partial").write_bytes(b"half")
    build(tmp_path, "birds")
    assert sorted(path.name for path in tmp_path.iterdir()) == [RESERVE, "demo", "locks"]
