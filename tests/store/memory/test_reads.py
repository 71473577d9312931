"""When things were read: remembered under what they were, and never believed of a time to come."""

from __future__ import annotations

from pathlib import Path

from xmap.store.memory.notes import HASHES, Notes
from xmap.store.memory.reads import READ, last_reads, remember_reads
from xmap.store.memory.uses import now


def test_what_was_read_is_known_until_its_bytes_are_others(tmp_path: Path) -> None:
    before = now()
    remember_reads(tmp_path, {"cache/one": "a", "cache/two": "b"})
    assert before <= last_reads(tmp_path, {"cache/one": "a"})["cache/one"] <= now()
    assert last_reads(tmp_path, {"cache/one": "other", "cache/three": "a"}) == {}


def test_a_time_that_is_none_or_is_to_come_counts_as_never(tmp_path: Path) -> None:
    for moment in ("2999-01-01T00:00:00.000+00:00", "soon"):
        Notes(tmp_path / HASHES).remember({f"{READ}x": "a"}, {f"{READ}x": moment})
        assert last_reads(tmp_path, {"x": "a"}) == {}
