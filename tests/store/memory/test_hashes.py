"""Remembered hashes never outlive the bytes they were made of, and losing them costs time alone."""

from __future__ import annotations

import os
import sqlite3
import struct
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import xmap.store.memory.hashes
from xmap.store.disk.files import hash_file
from xmap.store.memory.hashes import HashMemory


class Reads:
    """Counts the files that are read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        monkeypatch.setattr(xmap.store.memory.hashes, "hash_file", self)

    def __call__(self, path: Path) -> str:
        self.count += 1
        return hash_file(path)

    def since(self) -> int:
        count, self.count = self.count, 0
        return count


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    return Reads(monkeypatch)


@pytest.fixture(autouse=True)
def old_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files made by a test count as old, so that they are remembered."""
    monkeypatch.setattr(xmap.store.memory.hashes, "YOUNG_NS", 0)


def make(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"{number}.bin" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(b"%d" % number)
    return paths


@pytest.mark.parametrize("count", [3, 100])
def test_a_known_file_is_not_read_again(tmp_path: Path, reads: Reads, count: int) -> None:
    paths = make(tmp_path, count)
    memory = HashMemory(tmp_path / "side" / "hashes.sqlite")
    first = memory.hash_files(paths)
    assert first == {path: hash_file(path) for path in paths}
    assert reads.since() == count
    assert memory.hash_files(paths) == first
    assert reads.since() == 0


def test_a_change_in_place_of_the_same_size_is_seen(tmp_path: Path, reads: Reads) -> None:
    (path,) = make(tmp_path, 1)
    memory = HashMemory(tmp_path / "hashes.sqlite")
    before = memory.hash_files([path])[path]
    time.sleep(0.02)
    with open(path, "r+b") as file:
        file.write(b"9")
    assert memory.hash_files([path])[path] == hash_file(path) != before
    assert reads.since() == 2


def test_a_change_with_the_old_mtime_set_back_is_seen(tmp_path: Path) -> None:
    (path,) = make(tmp_path, 1)
    memory = HashMemory(tmp_path / "hashes.sqlite")
    memory.hash_files([path])
    status = path.stat()
    time.sleep(0.02)
    path.write_bytes(b"9")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert memory.hash_files([path])[path] == hash_file(path)


def test_a_replaced_file_of_the_same_name_and_size_is_seen(tmp_path: Path) -> None:
    (path,) = make(tmp_path, 1)
    memory = HashMemory(tmp_path / "hashes.sqlite")
    memory.hash_files([path])
    (tmp_path / "new").write_bytes(b"9")
    os.replace(tmp_path / "new", path)
    assert memory.hash_files([path])[path] == hash_file(path)


def test_a_young_file_is_read_each_time(tmp_path: Path, reads: Reads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xmap.store.memory.hashes, "YOUNG_NS", 2_000_000_000)
    (path,) = make(tmp_path, 1)
    memory = HashMemory(tmp_path / "hashes.sqlite")
    memory.hash_files([path])
    memory.hash_files([path])
    assert reads.since() == 2


def test_rehash_ignores_the_memory_and_renews_it(tmp_path: Path, reads: Reads) -> None:
    paths = make(tmp_path, 2)
    memory = tmp_path / "hashes.sqlite"
    HashMemory(memory).hash_files(paths)
    with sqlite3.connect(memory) as database:
        database.execute("UPDATE hashes SET blake3 = 'wrong'")
    assert set(HashMemory(memory).hash_files(paths).values()) == {"wrong"}
    right = HashMemory(memory, rehash=True).hash_files(paths)
    assert right == {path: hash_file(path) for path in paths}
    assert HashMemory(memory).hash_files(paths) == right


@pytest.mark.parametrize("damage", ["empty", "junk", "cut", "other table", "folder"])
def test_a_damaged_memory_costs_time_alone(tmp_path: Path, damage: str) -> None:
    paths = make(tmp_path, 5)
    memory = tmp_path / "hashes.sqlite"
    HashMemory(memory).hash_files(paths)
    data = memory.read_bytes()
    memory.unlink()
    if damage == "folder":
        memory.mkdir()
    elif damage == "other table":
        with sqlite3.connect(memory) as database:
            database.execute("CREATE TABLE hashes (path BLOB PRIMARY KEY)")
    else:
        memory.write_bytes({"empty": b"", "junk": b"junk" * 4096, "cut": data[: len(data) // 2]}[damage])
    for _ in range(2):
        assert HashMemory(memory).hash_files(paths) == {path: hash_file(path) for path in paths}


def test_a_locked_memory_is_left_to_who_holds_it(tmp_path: Path, reads: Reads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xmap.store.memory.hashes, "WAIT", 0.05)
    paths, memory = make(tmp_path, 3), HashMemory(tmp_path / "hashes.sqlite")
    known = memory.hash_files(paths)
    assert memory.path
    with closing(sqlite3.connect(memory.path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        before = memory.path.stat().st_ino
        assert memory.hash_files(paths) == known
        assert memory.path.stat().st_ino == before
    assert reads.since() == 6
    assert memory.hash_files(paths) == known
    assert reads.since() == 0


def test_an_unwritable_memory_costs_time_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    paths = make(tmp_path, 2)
    assert len(HashMemory(tmp_path / "file" / "hashes.sqlite").hash_files(paths)) == 2


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    (good,) = make(tmp_path, 1)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    bad = [tmp_path / "absent", tmp_path, tmp_path / "fifo", tmp_path / "loop"]
    assert list(HashMemory(tmp_path / "hashes.sqlite").hash_files([*bad, good])) == [good]


def test_odd_names_are_remembered(tmp_path: Path, reads: Reads) -> None:
    paths = [tmp_path / name for name in ("a'b", "a\nb", "\u05d0.jpg", os.fsdecode(b"bad\xff"), "-x", "e\u0301")]
    for path in paths:
        path.write_bytes(path.name.encode(errors="surrogateescape"))
    memory = HashMemory(tmp_path / "hashes.sqlite")
    assert len(memory.hash_files(paths)) == len(paths) == reads.since()
    assert len(memory.hash_files(paths)) == len(paths)
    assert reads.since() == 0


# ---- what SQLite opens beside the file


def hot_journal(side: Path, leads_to: Path) -> bytes:
    """A journal as SQLite plays it back at the next open: the first page as it is, and the name of a journal of several databases."""
    page, magic, name = side.read_bytes()[:4096], bytes.fromhex("d9d505f920a163d7"), os.fsencode(leads_to)
    head = magic + struct.pack(">5I", 1, 7, side.stat().st_size // 4096, 512, 4096)
    record = struct.pack(">I", 1) + page + struct.pack(">I", 7 + sum(page[place] for place in range(4096 - 200, 0, -200)))
    end = struct.pack(">I", 0x40000000 // 4096 + 1) + name + struct.pack(">2I", len(name), sum(name)) + magic
    return head.ljust(512, b"\0") + record + end


def put_link(place: Path, victim: Path) -> None:
    place.symlink_to(victim)


LED: dict[str, tuple[str, Callable[[Path, Path], object]]] = {
    "a journal that names another file": (
        "-journal",
        lambda place, victim: place.write_bytes(hot_journal(place.with_name("side"), victim)),
    ),
    "a journal that is a link": ("-journal", put_link),
    "a journal that is a FIFO": ("-journal", lambda place, _: os.mkfifo(place)),
    "a journal that is a link to nothing": ("-journal", lambda place, victim: put_link(place, victim.with_name("none"))),
    "a log that is a link": ("-wal", put_link),
    "an index of a log that is a link": ("-shm", put_link),
}


@pytest.mark.failure("received folder")
@pytest.mark.parametrize("name", LED)
def test_nothing_beside_a_memory_that_came_along_leads_elsewhere(tmp_path: Path, reads: Reads, name: str) -> None:
    """SQLite plays a journal back when it opens a file, and removes the journal of several databases that it names."""
    paths, side, victim = make(tmp_path, 3), tmp_path / "side", tmp_path / "victim"
    HashMemory(side).hash_files(paths[:1])
    if "-wal" in name or "log" in name:
        with closing(sqlite3.connect(side)) as database:
            database.execute("PRAGMA journal_mode = wal")
    victim.write_bytes(b"somebody else's")
    before = sorted(path.name for path in tmp_path.iterdir())
    suffix, put = LED[name]
    put(Path(f"{side}{suffix}"), victim)
    for count in (3, 0):
        reads.since()
        assert HashMemory(side).hash_files(paths) == {path: hash_file(path) for path in paths}
        assert reads.since() == count
        assert victim.read_bytes() == b"somebody else's"
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_journal_that_a_killed_run_left_is_played_back(tmp_path: Path, reads: Reads) -> None:
    paths, side = make(tmp_path, 3), tmp_path / "side"
    HashMemory(side).hash_files(paths)
    journal = Path(f"{side}-journal")
    journal.write_bytes(hot_journal(side, tmp_path)[: 512 + 4 + 4096 + 4])
    reads.since()
    HashMemory(side).hash_files(paths)
    assert reads.since() == 0
    assert not journal.exists()


@pytest.mark.failure("received folder")
def test_pages_that_lead_to_each_other_again_and_again_end(tmp_path: Path) -> None:
    """Each page's entries all lead to the next page: 60 kB that hold more rows than anybody can read."""
    paths, side = make(tmp_path, 70), tmp_path / "side"
    with closing(sqlite3.connect(side)) as database, database:
        database.execute("PRAGMA page_size = 4096")
        database.execute(f"CREATE TABLE {xmap.store.memory.hashes.TABLES['hashes']}")
        database.execute(f"CREATE TABLE {xmap.store.memory.hashes.TABLES['notes']}")
        database.executemany("INSERT INTO hashes VALUES (?, 1, 1, 1, 1, 'x')", ((b"%d" % row,) for row in range(100)))
    data = bytearray(side.read_bytes())
    with closing(sqlite3.connect(side)) as database:
        (root,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'hashes'").fetchone()
    pages = len(data) // 4096
    leaf = bytes(data[(root - 1) * 4096 : root * 4096])
    for depth in range(12):
        cells = b"".join(struct.pack(">I", pages + depth + 2) + bytes([1]) for _ in range(400))
        places = b"".join(struct.pack(">H", 4096 - len(cells) + 5 * cell) for cell in range(400))
        head = bytes([5, 0, 0]) + struct.pack(">HHB", 400, 4096 - len(cells), 0) + struct.pack(">I", pages + depth + 2)
        data += (head + places).ljust(4096 - len(cells), b"\0") + cells
    data += leaf
    data[(root - 1) * 4096 : root * 4096] = data[pages * 4096 : (pages + 1) * 4096]
    data[28:32] = struct.pack(">I", len(data) // 4096)
    side.write_bytes(data)
    assert HashMemory(side).hash_files(paths) == {path: hash_file(path) for path in paths}


def test_many_files_are_remembered_at_once(tmp_path: Path, reads: Reads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xmap.store.memory.hashes, "STEPS", 1000)
    paths, side = make(tmp_path, 300), tmp_path / "side" / "hashes"
    for count in (300, 0):
        HashMemory(side).hash_files(paths)
        assert reads.since() == count


@pytest.mark.parametrize("size", [1 << 12, 1 << 33, 1 << 40])
def test_a_hole_of_any_size_in_place_of_the_memory_costs_time_alone(tmp_path: Path, size: int) -> None:
    paths, side = make(tmp_path, 3), tmp_path / "side"
    side.touch()
    os.truncate(side, size)
    for _ in range(2):
        assert HashMemory(side).hash_files(paths) == {path: hash_file(path) for path in paths}
