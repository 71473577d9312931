"""A side file that is damaged, held by others, or came along with a store costs time alone and leads nowhere else."""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from blake3 import blake3

import xmap.store.memory.notes
from tests.store.memory.conftest import Make, Reads
from tests.worlds.side_files import DAMAGES, damage, hash_files
from xmap.store.disk.files import hash_file
from xmap.store.memory.notes import TABLES, Notes


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_memory_costs_time_alone(tmp_path: Path, how: str, make: Make) -> None:
    paths = make(5)
    memory = tmp_path / "hashes.sqlite"
    hash_files(paths, Notes(memory))
    damage(memory, how)
    for _ in range(2):
        assert hash_files(paths, Notes(memory)) == {path: hash_file(path) for path in paths}


def test_a_locked_memory_is_left_to_who_holds_it(tmp_path: Path, reads: Reads, monkeypatch: pytest.MonkeyPatch, make: Make) -> None:
    monkeypatch.setattr(xmap.store.memory.notes, "WAIT", 0.05)
    paths, side = make(3), tmp_path / "hashes.sqlite"
    memory = Notes(side)
    known = hash_files(paths, memory)
    with closing(sqlite3.connect(side)) as other:
        other.execute("BEGIN EXCLUSIVE")
        before = side.stat().st_ino
        assert hash_files(paths, memory) == known
        assert side.stat().st_ino == before
    assert reads.since() == 6
    assert hash_files(paths, memory) == known
    assert reads.since() == 0


def test_an_unwritable_memory_costs_time_alone(tmp_path: Path, make: Make) -> None:
    (tmp_path / "file").write_bytes(b"")
    paths = make(2)
    assert len(hash_files(paths, Notes(tmp_path / "file" / "hashes.sqlite"))) == 2


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
def test_nothing_beside_a_memory_that_came_along_leads_elsewhere(tmp_path: Path, reads: Reads, name: str, make: Make) -> None:
    """SQLite plays a journal back when it opens a file, and removes the journal of several databases that it names."""
    paths, side, victim = make(3), tmp_path / "side", tmp_path / "victim"
    hash_files(paths[:1], Notes(side))
    if "-wal" in name or "log" in name:
        with closing(sqlite3.connect(side)) as database:
            database.execute("PRAGMA journal_mode = wal")
    victim.write_bytes(b"somebody else's")
    before = sorted(path.name for path in tmp_path.iterdir())
    suffix, put = LED[name]
    put(Path(f"{side}{suffix}"), victim)
    for count in (3, 0):
        reads.since()
        assert hash_files(paths, Notes(side)) == {path: hash_file(path) for path in paths}
        assert reads.since() == count
        assert victim.read_bytes() == b"somebody else's"
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_journal_that_a_killed_run_left_is_played_back(tmp_path: Path, reads: Reads, make: Make) -> None:
    paths, side = make(3), tmp_path / "side"
    hash_files(paths, Notes(side))
    journal = Path(f"{side}-journal")
    journal.write_bytes(hot_journal(side, tmp_path)[: 512 + 4 + 4096 + 4])
    reads.since()
    hash_files(paths, Notes(side))
    assert reads.since() == 0
    assert not journal.exists()


@pytest.mark.failure("received folder")
@pytest.mark.parametrize("tree", ["notes", "sqlite_autoindex_notes_1"])
def test_pages_that_lead_to_each_other_again_and_again_end(tmp_path: Path, tree: str, make: Make) -> None:
    """Each page's entries all lead to the next page: 60 kB that hold more rows than anybody can read."""
    paths, side = make(70), tmp_path / "side"
    with closing(sqlite3.connect(side)) as database, database:
        database.execute("PRAGMA page_size = 4096")
        for table in TABLES:
            database.execute(f"CREATE TABLE {table}")
        database.executemany("INSERT INTO notes VALUES (?, '1', 'x', 'x')", ((b"%d" % row,) for row in range(100)))
    data = bytearray(side.read_bytes())
    with closing(sqlite3.connect(side)) as database:
        (root,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (tree,)).fetchone()
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
    assert hash_files(paths, Notes(side)) == {path: hash_file(path) for path in paths}


def test_many_files_are_remembered_at_once(tmp_path: Path, reads: Reads, monkeypatch: pytest.MonkeyPatch, make: Make) -> None:
    monkeypatch.setattr(xmap.store.memory.notes, "STEPS", 1000)
    paths, side = make(300), tmp_path / "side" / "hashes"
    for count in (300, 0):
        hash_files(paths, Notes(side))
        assert reads.since() == count


@pytest.mark.parametrize("size", [1 << 12, 1 << 33, 1 << 40])
def test_a_hole_of_any_size_in_place_of_the_memory_costs_time_alone(tmp_path: Path, size: int, make: Make) -> None:
    paths, side = make(3), tmp_path / "side"
    side.touch()
    os.truncate(side, size)
    for _ in range(2):
        assert hash_files(paths, Notes(side)) == {path: hash_file(path) for path in paths}


def test_a_side_file_of_an_earlier_version_is_used(tmp_path: Path, reads: Reads, make: Make) -> None:
    """Its notes are known; of its hashes, which had a table of their own, nobody is told."""
    paths, side = make(3), tmp_path / "side"
    with closing(sqlite3.connect(side)) as database, database:
        for table in reversed(TABLES):
            database.execute(f"CREATE TABLE {table}")
        database.executemany("INSERT INTO hashes VALUES (?, 1, 1, 1, 1, 'x')", ((os.fsencode(path),) for path in paths))
        database.execute("INSERT INTO notes VALUES (?, '1', '{}', ?)", (b"a tar", blake3(b"{}").hexdigest()))
    for count in (3, 0):
        reads.since()
        assert hash_files(paths, Notes(side)) == {path: hash_file(path) for path in paths}
        assert reads.since() == count
    assert Notes(side).recall({"a tar": "1"}) == {"a tar": "{}"}
