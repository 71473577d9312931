"""Remembered hashes never outlive the bytes they were made of, and losing them costs time alone."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

import pytest
from blake3 import blake3

import xmap.store.memory.hashes
import xmap.store.memory.notes
from tests.store.memory.conftest import Make, Reads
from tests.worlds.side_files import hash_files
from xmap.store.disk.files import hash_file
from xmap.store.memory.hashes import file_stamp
from xmap.store.memory.notes import Notes


@pytest.mark.parametrize("count", [3, 100])
def test_a_known_file_is_not_read_again(tmp_path: Path, reads: Reads, count: int, make: Make) -> None:
    paths = make(count)
    memory = Notes(tmp_path / "side" / "hashes.sqlite")
    first = hash_files(paths, memory)
    assert first == {path: hash_file(path) for path in paths}
    assert reads.since() == count
    assert hash_files(paths, memory) == first
    assert reads.since() == 0


def test_a_change_in_place_of_the_same_size_is_seen(tmp_path: Path, reads: Reads, make: Make) -> None:
    (path,) = make(1)
    memory = Notes(tmp_path / "hashes.sqlite")
    before = hash_files([path], memory)[path]
    time.sleep(0.02)
    with open(path, "r+b") as file:
        file.write(b"9")
    assert hash_files([path], memory)[path] == hash_file(path) != before
    assert reads.since() == 2


def test_a_change_with_the_old_mtime_set_back_is_seen(tmp_path: Path, make: Make) -> None:
    (path,) = make(1)
    memory = Notes(tmp_path / "hashes.sqlite")
    hash_files([path], memory)
    status = path.stat()
    time.sleep(0.02)
    path.write_bytes(b"9")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert hash_files([path], memory)[path] == hash_file(path)


def test_a_replaced_file_of_the_same_name_and_size_is_seen(tmp_path: Path, make: Make) -> None:
    (path,) = make(1)
    memory = Notes(tmp_path / "hashes.sqlite")
    hash_files([path], memory)
    (tmp_path / "new").write_bytes(b"9")
    os.replace(tmp_path / "new", path)
    assert hash_files([path], memory)[path] == hash_file(path)


def test_a_young_file_is_read_each_time(tmp_path: Path, reads: Reads, monkeypatch: pytest.MonkeyPatch, make: Make) -> None:
    monkeypatch.setattr(xmap.store.memory.hashes, "YOUNG_NS", 2_000_000_000)
    (path,) = make(1)
    memory = Notes(tmp_path / "hashes.sqlite")
    hash_files([path], memory)
    hash_files([path], memory)
    assert reads.since() == 2


def test_rehash_ignores_the_memory_and_renews_it(tmp_path: Path, reads: Reads, make: Make) -> None:
    paths = make(2)
    memory = tmp_path / "hashes.sqlite"
    hash_files(paths, Notes(memory))
    with sqlite3.connect(memory) as database:
        (note,) = database.execute("SELECT note FROM notes").fetchone()
        wrong = note[:-64] + b"w" * 64
        database.execute("UPDATE notes SET note = ?, blake3 = ?", (wrong, blake3(wrong).hexdigest()))
    assert set(hash_files(paths, Notes(memory)).values()) == {"77" * 32}
    right = hash_files(paths, Notes(memory, rehash=True))
    assert right == {path: hash_file(path) for path in paths}
    assert hash_files(paths, Notes(memory)) == right


def test_files_that_come_and_go_cost_themselves_alone(tmp_path: Path, reads: Reads, make: Make) -> None:
    """A folder's files are remembered together, and asked for in any selection and order."""
    paths, memory = make(6), Notes(tmp_path / "side" / "hashes.sqlite")
    for chosen, count in (([1, 4], 2), ([4, 0, 1], 1), ([5], 1), ([0, 1, 4, 5], 0), ([5, 4, 3, 2, 1, 0], 2), ([0, 1, 2, 3, 4, 5], 0)):
        wanted = [paths[row] for row in chosen]
        assert hash_files(wanted, memory) == {path: hash_file(path) for path in wanted}
        assert reads.since() == count
    paths[2].unlink()
    paths[3].write_bytes(b"other")
    assert hash_files(paths, memory) == {path: hash_file(path) for path in paths if path != paths[2]}
    assert reads.since() == 1


@pytest.mark.parametrize("many", [1, 3, 1000])
def test_files_of_many_folders_are_remembered(tmp_path: Path, reads: Reads, monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    monkeypatch.setattr(xmap.store.memory.hashes, "MANY", many)
    paths = [tmp_path / str(number // 2) / f"{number}.bin" for number in range(10)]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(path.name.encode())
    for count in (10, 0):
        assert hash_files(paths, Notes(tmp_path / "side")) == {path: hash_file(path) for path in paths}
        assert reads.since() == count


@pytest.mark.parametrize("cut", [0, 1, 8, 9, 40, -1, -32])
def test_a_note_of_another_length_says_nothing(tmp_path: Path, reads: Reads, make: Make, cut: int) -> None:
    paths, side = make(3), tmp_path / "side"
    hash_files(paths, Notes(side))
    with sqlite3.connect(side) as database:
        (note,) = database.execute("SELECT note FROM notes").fetchone()
        database.execute("UPDATE notes SET note = ?, blake3 = ?", (note[:cut], blake3(note[:cut]).hexdigest()))
    reads.since()
    assert hash_files(paths, Notes(side)) == {path: hash_file(path) for path in paths}
    assert reads.since() == 3


def test_what_cannot_be_read_is_left_out(tmp_path: Path, make: Make) -> None:
    (good,) = make(1)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    bad = [tmp_path / "absent", tmp_path, tmp_path / "fifo", tmp_path / "loop"]
    assert list(hash_files([*bad, good], Notes(tmp_path / "hashes.sqlite"))) == [good]


def test_odd_names_are_remembered(tmp_path: Path, reads: Reads) -> None:
    paths = [tmp_path / name for name in ("a'b", "a\nb", "\u05d0.jpg", os.fsdecode(b"bad\xff"), "-x", "e\u0301")]
    for path in paths:
        path.write_bytes(path.name.encode(errors="surrogateescape"))
    memory = Notes(tmp_path / "hashes.sqlite")
    assert len(hash_files(paths, memory)) == len(paths) == reads.since()
    assert len(hash_files(paths, memory)) == len(paths)
    assert reads.since() == 0


def test_a_stamp_changes_with_the_file_and_lasts_once_it_is_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xmap.store.memory.hashes, "YOUNG_NS", 2_000_000_000)
    path = tmp_path / "x"
    assert file_stamp(path) == ("", False)
    path.write_bytes(b"1")
    first, lasting = file_stamp(path)
    assert not lasting
    monkeypatch.setattr(xmap.store.memory.hashes, "YOUNG_NS", 0)
    assert file_stamp(path) == (first, True)
    time.sleep(0.02)
    path.write_bytes(b"2")
    assert file_stamp(path)[0] != first
