"""What killed writers leave goes; what somebody writes stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.worlds.faults import KILL, Points, in_child
from xmap.store.artifacts.locks import LOCKS, sweep
from xmap.store.disk.files import atomic_file
from xmap.store.disk.leftovers import claimed, clear, is_abandoned, remove_abandoned

DATA = b"x" * 4096


@pytest.mark.failure("killed")
@pytest.mark.parametrize("point", range(1, 4))
def test_what_a_killed_writer_left_is_cleared_by_the_next(tmp_path: Path, point: int) -> None:
    def write() -> None:
        Points(point, KILL).install()
        with atomic_file(tmp_path / "report.html") as file:
            file.write(DATA)

    assert in_child(write) < 0
    left = [path for path in tmp_path.iterdir() if path.name.endswith(".partial")]
    assert left
    assert all(map(is_abandoned, left))
    clear(tmp_path / "report.html")
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".partial")]


def test_a_file_that_is_being_written_stays(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "report.html") as file:
        file.write(DATA)
        (temporary,) = tmp_path.iterdir()
        assert not is_abandoned(temporary)
        clear(tmp_path / "report.html")
        assert temporary.exists()
    assert (tmp_path / "report.html").read_bytes() == DATA


def test_a_folder_that_is_being_written_stays_and_goes_with_its_writer(tmp_path: Path) -> None:
    folder = tmp_path / ".exported.1.partial"
    folder.mkdir()
    (folder / "file").write_bytes(DATA)
    with claimed(folder):
        clear(tmp_path / "exported")
        assert folder.exists()
    clear(tmp_path / "exported")
    assert not folder.exists()


def test_a_link_in_its_place_is_neither_followed_nor_removed(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / ".x.1.partial").symlink_to(tmp_path / "other")
    remove_abandoned(tmp_path / ".x.1.partial")
    assert (tmp_path / "other").is_dir()
    assert os.path.lexists(tmp_path / ".x.1.partial")


def test_locks_of_artifacts_that_are_gone_go_and_others_stay(tmp_path: Path) -> None:
    (tmp_path / "cache" / "pets-0123abcd").mkdir(parents=True)
    (tmp_path / LOCKS).mkdir()
    for name in ("gate.lock", "cache-0123abcd00000000.lock", "cache-9999abcd00000000.lock", "eval-0123abcd00000000.lock"):
        (tmp_path / LOCKS / name).touch()
    sweep(tmp_path)
    assert {path.name for path in (tmp_path / LOCKS).iterdir()} == {"gate.lock", "cache-0123abcd00000000.lock"}
