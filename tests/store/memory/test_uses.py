"""Artifacts are listed in the order in which runs used them; where that was lost, or is not to be believed, as they were made."""

from __future__ import annotations

import shutil
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pytest

from tests.worlds.side_files import DAMAGES, damage
from xmap.store.artifacts.artifact import Artifact, Draft, Store
from xmap.store.artifacts.identity import Identity
from xmap.store.memory.notes import HASHES, Notes
from xmap.store.memory.uses import FORM, LAST, last_uses, remember_uses


@pytest.fixture
def made(tmp_path: Path) -> list[Artifact]:
    """Four artifacts of the store `tmp_path`, oldest first."""
    return [make(tmp_path, number) for number in range(4)]


def make(root: Path, number: int) -> Artifact:
    with Store(root).build(Identity("eval", "same", {"number": number})) as draft:
        assert isinstance(draft, Draft)
        # No two are made in one millisecond.
        time.sleep(0.002)
        return draft.commit()


def listed(root: Path) -> list[int]:
    return [int(found.fields["number"]) for found in Store(root).artifacts()]


def test_those_that_a_run_used_last_come_last_and_among_themselves_as_they_were_made(tmp_path: Path, made: list[Artifact]) -> None:
    assert listed(tmp_path) == [0, 1, 2, 3]
    remember_uses(tmp_path, [made[2].fingerprint, made[0].fingerprint])
    assert listed(tmp_path) == [1, 3, 0, 2]
    remember_uses(tmp_path, [made[1].fingerprint])
    assert listed(tmp_path) == [3, 0, 2, 1]
    found = Store(tmp_path).artifacts()
    assert found[0].used == found[0].manifest["created"] < found[1].used == found[2].used < found[3].used
    # What is made later is newer, and what else the store is asked says nothing of use.
    make(tmp_path, 4)
    assert listed(tmp_path) == [3, 0, 2, 1, 4]
    assert [found.fields["number"] for found in Store(tmp_path).matching("eval", "same-*")] == [3, 0, 2, 1, 4]
    assert Store(tmp_path).find(Identity("eval", "same", {"number": 1})) == made[1]


@pytest.mark.failure("received folder")
@pytest.mark.parametrize("how", ["absent", *DAMAGES])
def test_a_store_without_these_notes_lists_what_it_holds_as_it_was_made(tmp_path: Path, made: list[Artifact], how: str) -> None:
    remember_uses(tmp_path, [made[0].fingerprint])
    copy = tmp_path.with_name(f"copy of {tmp_path.name}")
    shutil.copytree(tmp_path, copy)
    assert listed(copy) == [1, 2, 3, 0]
    if how == "absent":
        (copy / HASHES).unlink()
    else:
        damage(copy / HASHES, how)
    assert listed(copy) in ([0, 1, 2, 3], [1, 2, 3, 0] if how == "cut" else [])
    remember_uses(copy, [made[1].fingerprint])
    assert sorted(listed(copy)) == [0, 1, 2, 3]


@pytest.mark.failure("received folder")
@pytest.mark.parametrize(
    "note", ["9999-12-31T23:59:59.999+00:00", "2999-01-01T00:00:00.000+00:00", "zzz", "", "\x1b[2J", "9" * 10_000, b"9999", "2026-01-01"]
)
def test_a_time_to_come_or_no_time_at_all_is_not_believed(tmp_path: Path, made: list[Artifact], note: str | bytes) -> None:
    Notes(tmp_path / HASHES).remember({made[0].fingerprint: FORM}, {made[0].fingerprint: note})
    assert listed(tmp_path) == [0, 1, 2, 3]
    # And the next run is believed.
    remember_uses(tmp_path, [made[1].fingerprint])
    assert listed(tmp_path) == [0, 2, 3, 1]


@pytest.mark.parametrize("back", [timedelta(milliseconds=1), timedelta(hours=1), timedelta(hours=23)])
def test_what_is_used_last_is_newest_though_the_clock_was_put_back(tmp_path: Path, made: list[Artifact], back: timedelta) -> None:
    remember_uses(tmp_path, [made[3].fingerprint])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xmap.store.memory.uses.datetime", _clock(back))
        for number in (0, 2, 1):
            remember_uses(tmp_path, [made[number].fingerprint])
            assert listed(tmp_path)[-1] == number
    assert listed(tmp_path) == [3, 0, 2, 1]


@pytest.mark.failure("received folder")
@pytest.mark.parametrize(
    "note", ["9999-12-31T23:59:59.999+00:00", "2999-01-01T00:00:00.000+00:00", "2026-02-31T00:00:00.000+00:00", "zzz", b"9"]
)
def test_a_last_use_of_a_time_to_come_puts_nobody_first_for_good(tmp_path: Path, made: list[Artifact], note: str | bytes) -> None:
    notes = Notes(tmp_path / HASHES)
    notes.remember(dict.fromkeys((LAST, made[0].fingerprint), FORM), dict.fromkeys((LAST, made[0].fingerprint), note))
    assert listed(tmp_path) == [0, 1, 2, 3]
    remember_uses(tmp_path, [made[1].fingerprint])
    assert listed(tmp_path) == [0, 2, 3, 1]


def _clock(back: timedelta) -> type[datetime]:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Clock:
            return cls.fromtimestamp(datetime.now(tz).timestamp() - back.total_seconds(), tz)

    return Clock


def test_a_store_that_cannot_be_written_to_stays_as_it_is(tmp_path: Path, made: list[Artifact]) -> None:
    remember_uses(tmp_path, [made[0].fingerprint])
    before = (tmp_path / HASHES).read_bytes()
    (tmp_path / HASHES).chmod(0o444)
    with sqlite3.connect(tmp_path / HASHES) as other:
        # Nobody else can write meanwhile, whoever runs this.
        other.execute("BEGIN IMMEDIATE")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("xmap.store.memory.notes.WAIT", 0.05)
            remember_uses(tmp_path, [made[1].fingerprint])
        assert listed(tmp_path) == [1, 2, 3, 0]
    assert (tmp_path / HASHES).read_bytes() == before


def test_runs_at_once_all_leave_their_notes(tmp_path: Path, made: list[Artifact]) -> None:
    remember_uses(tmp_path, [])
    assert not (tmp_path / HASHES).exists()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda found: remember_uses(tmp_path, [found.fingerprint]), made * 5))
    assert last_uses(tmp_path, [found.fingerprint for found in made]).keys() == {found.fingerprint for found in made}
