"""Builders of small artifacts, and files that fail where they are told to."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import xmap.store.disk.files
from xmap.store.artifacts.artifact import Artifact, Draft, Store
from xmap.store.artifacts.identity import Identity

Fill = Callable[[Path], object]


class FullDisk(io.FileIO):
    """A file on a disk that has room for `room` more bytes."""

    room = 0

    def write(self, data: object) -> int:  # type: ignore[override]
        view = memoryview(data).cast("B")  # type: ignore[arg-type]
        fits = min(len(view), self.room)
        self.room -= fits
        super().write(view[:fits])
        if fits < len(view):
            raise OSError(errno.ENOSPC, "No space left on device")
        return fits


@pytest.fixture
def disk_with_room(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], object]:
    """`with disk_with_room(n):` every file that xmap.store.disk.files opens for writing holds at most n bytes."""

    @contextmanager
    def limited(room: int) -> Iterator[None]:
        def opened(path: Path, mode: str) -> io.FileIO:
            file = FullDisk(path, mode)
            file.room = room
            return file

        with monkeypatch.context() as patch:
            patch.setattr(xmap.store.disk.files, "open", opened, raising=False)
            yield

    return limited


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Artifact]:
    """`build(stage, fill, ...)` makes an artifact whose files `fill(folder)` writes."""

    def made(
        stage: str,
        fill: Fill = lambda folder: None,
        name: str = "made",
        summary: dict | None = None,
        root: Path | None = None,
        **fields: Any,
    ) -> Artifact:
        inputs = fields.pop("inputs", {})
        identity = Identity(stage, name, fields, inputs)
        with Store(root or tmp_path / "store").build(identity) as draft:
            assert isinstance(draft, Draft)
            fill(draft.path)
            return draft.commit(summary)

    return made
