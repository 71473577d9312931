"""Schedules from a seed: three commands at once on one store, stopped, continued and killed, some with a clock that was put back.

After each round the history is held against what must be so. A seed that fails is in the test's name, and does the same again as far
as the system's own scheduling lets it.
"""

from __future__ import annotations

import os
import random
import secrets
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from tests.promises.conftest import WELL, Commands, Control, Ended, Fault
from tests.worlds.faults import Case
from tests.worlds.runs import FEATURES, RUN, tree
from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.manifest import MANIFEST
from xmap.store.disk.leftovers import TEMPORARY

ROUNDS, AT_ONCE, SIGNALS = 4, 3, 6
OTHER = [*RUN, "--set", "methods.tip-adapter-f.epochs=3"]
ZERO = ["run", *FEATURES, "--methods", "zero-shot", "--shots", "2", "--seeds", "1"]
RUNS = (RUN, OTHER, ZERO)
# In the place of a folder that is not there.
NEW = "NEW"
COMMANDS = (
    *RUNS,
    *RUNS,
    ["gc", "--yes"],
    ["gc", "--yes", "--keep", "1"],
    ["verify"],
    ["verify", "--subset", "1/3"],
    ["export", NEW],
    ["sql", "select count(*) as n from samples"],
    ["predict", "photos/test", "--model", "local-dir:model", "--device", "cpu"],
)
WELL_OR_LATE: tuple[Fault, ...] = (WELL, WELL, WELL, ("clock", 60), ("clock", 1))


class Round:
    """Commands at once, and the signals that they get."""

    def __init__(self, commands: Commands, world: Path, store: Path, witness: Path, draw: random.Random) -> None:
        picked = [(draw.choice(COMMANDS), draw.choice(WELL_OR_LATE)) for _ in range(AT_ONCE)]
        new = f"{store}-{secrets.token_hex(4)}"
        self.chosen = [([word.replace(NEW, f"{new}{place}") for word in argv], fault) for place, (argv, fault) in enumerate(picked)]
        self.children = commands.start_each(self.chosen, world, store, witness)
        self.killed: set[int] = set()
        for _ in range(SIGNALS):
            if commands.ended():
                break
            self._disturb(draw.randrange(AT_ONCE), draw.random(), draw.uniform(0.0, 0.4))
        for child in self.children:
            self._send(child, signal.SIGCONT)
        self.ended = commands.wait()

    def _disturb(self, which: int, what: float, seconds: float) -> None:
        child = self.children[which]
        if what < 0.15:
            self.killed.add(child)
            self._send(child, signal.SIGKILL)
        else:
            self._send(child, signal.SIGSTOP if what < 0.6 else signal.SIGCONT)
        time.sleep(seconds)

    def _send(self, child: int, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, number)


def lines(witness: Path) -> list[tuple[str, int, str]]:
    told = witness.read_text().splitlines() if witness.exists() else []
    return [(event, int(child), what) for event, child, what in (line.split(" ", 2) for line in told)]


def require_one_builder(told: Sequence[tuple[str, int, str]], killed: set[int]) -> None:
    """Nobody began to build in a folder where another was at it, unless that one was killed."""
    inside: dict[str, int] = {}
    for event, child, folder in told:
        if event == "begin":
            assert inside.get(folder) is None or inside[folder] in killed, (folder, child, inside[folder])
            inside[folder] = child
        elif event == "end" and inside.get(folder) == child:
            del inside[folder]


def require_whole(store: Path) -> None:
    """What is there is whole, and nothing that is there lacks what it was made from."""
    survey = Store(store).survey()
    assert survey.damaged == {}
    provided = {digest for found in survey.artifacts for digest in (found.fingerprint, *found.summary.get("parts", {}).values())}
    for found in survey.artifacts:
        assert found.verify() == []
        assert set(found.inputs.values()) <= provided, found


def require_manners(argv: Sequence[str], ended: Ended) -> None:
    """Done, refused in one sentence, or killed; a reader never met damage."""
    assert ended.code in (0, 2, -signal.SIGKILL), (argv, ended)
    assert "Traceback" not in ended.stderr, (argv, ended.stderr)
    assert "damaged" not in ended.stderr + ended.stdout.replace("no damage", ""), (argv, ended)


def require_newest(store: Path, told: Sequence[tuple[str, int, str]], disturbed: bool) -> None:
    """Of the evaluations that runs of a round used, one is the newest now, whatever the clock said."""
    used = {digest for event, _, what in told if event == "used" for digest in what.split(",")}
    evaluations = Store(store).artifacts("eval")
    if used and evaluations and not disturbed:
        assert evaluations[-1].fingerprint in used


@pytest.mark.promise
@pytest.mark.failure("schedule")
@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.thorough) for seed in range(2, 22))])
def test_any_schedule_of_commands_leaves_a_sound_store(
    commands: Commands, world: Path, control: Control, tmp_path: Path, case: Case, seed: int
) -> None:
    draw, store, witness = random.Random(seed), tmp_path / "store", tmp_path / "witness"  # noqa: S311
    killed: set[int] = set()
    assert commands(*RUN, cwd=world, store=store).code == 0
    for _ in range(ROUNDS):
        before = len(lines(witness))
        with case():
            round_ = Round(commands, world, store, witness, draw)
            killed |= round_.killed
            told = lines(witness)
            for (argv, _fault), ended in zip(round_.chosen, round_.ended, strict=True):
                require_manners(argv, ended)
            require_one_builder(told, killed)
            require_whole(store)
            require_newest(store, told[before:], bool(round_.killed))
    ended = commands(*RUN, cwd=world, store=store)
    assert ended.code == 0, ended.stderr
    assert commands("gc", "--yes", "--keep", "1", *FEATURES, cwd=world, store=store).code in (0, 2)
    assert commands(*RUN, cwd=world, store=store).code == 0
    assert list(store.rglob(f"*{TEMPORARY}")) == []
    # A manifest names the command that built its artifact, of which several may have been the first.
    wanted = {name: content for name, content in control.tree.items() if not name.endswith(MANIFEST)}
    assert {name: content for name, content in tree(store).items() if name in wanted} == wanted
    require_whole(store)
