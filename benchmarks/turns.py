"""Several things timed in turn: what else the machine does meets all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping


def least_seconds(todo: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The least seconds of each over so many turns."""
    least = dict.fromkeys(todo, float("inf"))
    for _ in range(repeats):
        for name, call in todo.items():
            started = time.perf_counter()
            call()
            least[name] = min(least[name], time.perf_counter() - started)
    return least
