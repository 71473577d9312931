"""How a stage tells what it does without printing: it calls a `Progress`, the caller decides what that shows."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives progress of long work."""

    def start(self, what: str, total: int, done: int = 0) -> None:
        """A task of `total` units begins, `done` of them already there from an earlier run."""

    def advance(self, units: int) -> None:
        """`units` more are done."""

    def say(self, line: str) -> None:
        """A remark a person should see."""


class Once:
    """Passes everything on, each remark but once: what holds for every seed is said by none but the first."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._said: set[str] = set()
        self.start, self.advance = progress.start, progress.advance

    def say(self, line: str) -> None:
        """Say a remark that was not said before."""
        if line not in self._said:
            self._said.add(line)
            self._progress.say(line)


class Silent:
    """Shows nothing."""

    def start(self, what: str, total: int, done: int = 0) -> None:
        """Ignore it."""

    def advance(self, units: int) -> None:
        """Ignore it."""

    def say(self, line: str) -> None:
        """Ignore it."""
