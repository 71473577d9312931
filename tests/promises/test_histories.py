"""Living data: after every step of any history of a data set and its store, all is as if it had been done from nothing, but for the work.

A failing history is printed as Python; put into `HISTORIES` it is replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
import torch
from hypothesis import Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

import xmap.store.memory.hashes
from tests.worlds.faults import Case
from tests.worlds.history import History, replay
from tests.worlds.models import write_model
from tests.worlds.outcomes import Scratch

PARTS, EXAMPLES, STEPS = 2, 30, 20
# Those that did not hold once stand here too, as they were printed.
HISTORIES = {
    "every kind": """
state.begin(form='folder')
state.killed(change='add class', collect=True, point=150, to=30, which=0)
state.images(change='spoil', to=1, which=5)
state.labels(change='correct', to=2, which=7)
state.harm(how='flip', place=4000, which=9)
state.at_once(to=1, which=0)
state.images(change='pack', to=0, which=4)
state.move_store()
state.collect(keep=1, point=None)
state.back(which=1)
""",
}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[type[History]]:
    """The machine with a place and a model of its own."""
    place = tmp_path_factory.mktemp("histories")
    write_model(place / "model")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        # What this machine notes goes with each history, so that it has the same write points every time.
        patch.setenv("XDG_STATE_HOME", str(place / "world" / "state"))
        # All files here are young; what is remembered of them must hold all the same.
        patch.setattr(xmap.store.memory.hashes, "YOUNG_NS", 0)
        parts = {"place": place / "world", "model": place / "model", "scratch": Scratch(place / "scratch")}
        yield type("History", (History,), parts)
    torch.set_num_threads(threads)


def bound(machine: type[History], case: Callable[[], AbstractContextManager[None]]) -> type[History]:
    """The machine with each comparison counted as one failure tried."""
    return type("History", (machine,), {"case": staticmethod(case)})


@pytest.mark.promise
@pytest.mark.failure("history")
@pytest.mark.parametrize("name", HISTORIES)
def test_a_history_of_living_data_ends_as_if_done_from_nothing(machine: type[History], case: Case, name: str) -> None:
    replay(bound(machine, case)(), HISTORIES[name])


@pytest.mark.thorough
@pytest.mark.timeout(1800)
@pytest.mark.failure("history")
@pytest.mark.parametrize("part", range(PARTS))
def test_many_histories_of_living_data_end_as_if_done_from_nothing(machine: type[History], case: Case, part: int) -> None:
    drawn = settings(max_examples=EXAMPLES, stateful_step_count=STEPS, phases=(Phase.generate,), derandomize=False)
    run_state_machine_as_test(seed(part)(bound(machine, case)), settings=drawn)
