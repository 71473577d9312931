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


class Silent:
    """Shows nothing."""

    def start(self, what: str, total: int, done: int = 0) -> None:
        """Ignore it."""

    def advance(self, units: int) -> None:
        """Ignore it."""

    def say(self, line: str) -> None:
        """Ignore it."""
