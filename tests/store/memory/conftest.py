"""Files that count as old, so that they are remembered, and a count of those that are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import xmap.store.memory.hashes
from xmap.store.disk.files import hash_file

Make = Callable[[int], list[Path]]


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


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """`make(count)` writes so many files, each of other bytes."""

    def made(count: int) -> list[Path]:
        paths = [tmp_path / f"{number}.bin" for number in range(count)]
        for number, path in enumerate(paths):
            path.write_bytes(b"%d" % number)
        return paths

    return made
