"""Engines: where work runs that splits into items which need nothing of each other, such as shards to encode or adapters to train.

An engine knows nothing of the work. A `Worker` does it: made once wherever the engine works, then handed items. What a worker
is made of, what it is handed and what it answers may travel to other machines.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Protocol, TypeVar

Item = TypeVar("Item", contravariant=True)
Done = TypeVar("Done", covariant=True, bound="Answer")
Given = TypeVar("Given")
Result = TypeVar("Result", bound="Answer")
Value = TypeVar("Value")
Advance = Callable[[int], None]


class Answer(Protocol):
    """What a worker makes of an item."""

    @property
    def units(self) -> int:
        """How much work the item was, as progress counts it."""


class Worker(Protocol[Item, Done]):
    """Does items one after the other, telling `advance` of each unit of work as it is done."""

    def work(self, items: Sequence[Item], advance: Advance) -> Generator[Done]:
        """One answer an item, in order."""


class Engine(Protocol):
    """A place, or many, where work runs."""

    @property
    def away(self) -> bool:
        """Whether it works in other processes, which see no store."""

    def call(self, function: Callable[..., Value], *arguments: object) -> Value:
        """`function(*arguments)`, where the work would run. Raises what it raises."""

    def spread(self, make: Callable[[], Worker[Given, Result]], items: Sequence[Given], advance: Advance) -> Generator[Result]:
        """The answers of workers to all items, in any order; `make` makes a worker. Raises what a worker raises.

        What is ready before the first answer is asked for (a model here, room on a cluster) is no part of the work's time.
        """


class LocalEngine:
    """Works in this process."""

    away = False

    def call(self, function: Callable[..., Value], *arguments: object) -> Value:
        """`function(*arguments)`."""
        return function(*arguments)

    def spread(self, make: Callable[[], Worker[Given, Result]], items: Sequence[Given], advance: Advance) -> Generator[Result]:
        """The answers of one worker, made at once, in order."""
        return make().work(items, advance)


LOCAL = LocalEngine()
