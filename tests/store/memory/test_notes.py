"""Notes never outlive what they were made of, and losing them costs time alone."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import xmap.store.memory.notes
from tests.worlds.side_files import DAMAGES, damage
from xmap.store.memory.notes import Notes

STAMPS = {"s3://b/é": "1:x", os.fsdecode(b"/bad\xff"): "2:y"}
NOTES = dict.fromkeys(STAMPS, '{"images": []}')


def test_a_note_is_known_under_its_stamp_alone(tmp_path: Path) -> None:
    notes = Notes(tmp_path / "side" / "hashes.sqlite")
    assert notes.recall(STAMPS) == {}
    notes.remember(STAMPS, NOTES)
    assert notes.recall(STAMPS) == NOTES
    assert notes.recall(dict.fromkeys(STAMPS, "3:z")) == {}
    notes.remember(dict.fromkeys(STAMPS, "3:z"), dict.fromkeys(STAMPS, "new"))
    assert notes.recall(STAMPS) == {}
    assert set(notes.recall(dict.fromkeys(STAMPS, "3:z")).values()) == {"new"}


def test_many_notes(tmp_path: Path) -> None:
    notes, stamps = Notes(tmp_path / "hashes.sqlite"), {f"x{number}": "1" for number in range(1200)}
    notes.remember(stamps, {place: f"of {place}" for place in stamps})
    assert notes.recall(stamps) == {place: f"of {place}" for place in stamps}


def test_without_a_stamp_or_a_file_nothing_is_remembered(tmp_path: Path) -> None:
    notes = Notes(tmp_path / "hashes.sqlite")
    notes.remember({"x": ""}, {"x": "y"})
    assert notes.recall({"x": ""}) == {}
    assert not (tmp_path / "hashes.sqlite").exists()
    Notes().remember(STAMPS, NOTES)
    assert Notes().recall(STAMPS) == {}


def test_rehash_ignores_notes_and_renews_them(tmp_path: Path) -> None:
    Notes(tmp_path / "hashes.sqlite").remember(STAMPS, NOTES)
    again = Notes(tmp_path / "hashes.sqlite", rehash=True)
    assert again.recall(STAMPS) == {}
    again.remember(STAMPS, dict.fromkeys(STAMPS, "new"))
    assert set(Notes(tmp_path / "hashes.sqlite").recall(STAMPS).values()) == {"new"}


def test_an_altered_note_is_not_believed(tmp_path: Path) -> None:
    Notes(tmp_path / "hashes.sqlite").remember(STAMPS, NOTES)
    with sqlite3.connect(tmp_path / "hashes.sqlite") as database:
        database.execute("UPDATE notes SET note = '[]'")
    assert Notes(tmp_path / "hashes.sqlite").recall(STAMPS) == {}


@pytest.mark.parametrize("how", DAMAGES)
def test_damaged_notes_cost_time_alone(tmp_path: Path, how: str) -> None:
    memory = tmp_path / "hashes.sqlite"
    Notes(memory).remember(STAMPS, NOTES)
    damage(memory, how)
    for _ in range(2):
        assert Notes(memory).recall(STAMPS) in ({}, NOTES)
        Notes(memory).remember(STAMPS, NOTES)


def test_locked_notes_are_left_to_who_holds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xmap.store.memory.notes, "WAIT", 0.05)
    path = tmp_path / "hashes.sqlite"
    Notes(path).remember(STAMPS, NOTES)
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert Notes(path).recall(STAMPS) == {}
        Notes(path).remember(STAMPS, dict.fromkeys(STAMPS, "new"))
    assert Notes(path).recall(STAMPS) == NOTES
