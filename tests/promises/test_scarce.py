"""A process that may open few files, or map little more memory: a sentence or a full result, and nothing called damaged for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.promises.conftest import Commands, Control, Fault
from tests.promises.test_interruption import goes_on, is_sound
from tests.promises.test_passing_errors import is_said
from tests.worlds.faults import Case
from tests.worlds.runs import RUN, tree

# Files beside those that are open at the start are few; megabytes beside what is mapped then. With none at all Python waits for ever
# for a thread that could not begin.
LIMITS: Sequence[Fault] = [*(("files", count) for count in (5, 8, 12, 64)), *(("memory", megabytes) for megabytes in (8, 64))]
FEW: Fault = ("files", 8)


def on_a_finished_store(store: Path, out: Path) -> list[list[str]]:
    evaluation = next(store.glob("eval/*")).name
    return [
        ["status"],
        ["verify"],
        ["sql", "from artifacts"],
        ["sql", "select count(*) from features"],
        ["gc"],
        ["predict", "photos", "--model", "local-dir:model"],
        ["show", evaluation],
        ["report", "-o", str(out / "report.html")],
        ["export", str(out / "exported")],
    ]


def run_in_need(commands: Commands, world: Path, control: Control, store: Path, limit: Fault) -> None:
    ended = commands(*RUN, cwd=world, store=store, fault=limit)
    if ended.code:
        is_said(ended)
    else:
        assert tree(store) == control.tree
    is_sound(store)
    goes_on(commands, RUN, world, store, control.tree)


def ask_in_need(commands: Commands, world: Path, control: Control, argv: list[str], limit: Fault) -> None:
    ended = commands(*argv, cwd=world, store=control.store, fault=limit)
    if ended.code:
        is_said(ended)
        assert "damaged" not in ended.stderr
    assert tree(control.store) == control.tree


@pytest.mark.failure("scarce machine")
def test_few_open_files_are_one_sentence_and_no_damage(
    commands: Commands, world: Path, control: Control, tmp_path: Path, case: Case
) -> None:
    with case():
        run_in_need(commands, world, control, tmp_path / "store", FEW)
    with case():
        ask_in_need(commands, world, control, ["verify"], FEW)


@pytest.mark.thorough
@pytest.mark.failure("scarce machine")
@pytest.mark.parametrize("limit", LIMITS)
def test_every_command_with_few_files_and_little_memory(
    commands: Commands, world: Path, control: Control, tmp_path: Path, case: Case, limit: Fault
) -> None:
    with case():
        run_in_need(commands, world, control, tmp_path / "store", limit)
    for argv in on_a_finished_store(control.store, tmp_path):
        with case():
            ask_in_need(commands, world, control, argv, limit)
