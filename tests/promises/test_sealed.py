"""Artifacts that are sealed and odd: whatever they hold, every command reads them or says one sentence.

A seal is a plain hash: another program, or somebody who means harm, can seal anything.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.promises import stranger_cases
from tests.promises.strangers import World, build
from tests.worlds.faults import Case

MANY, BLOCK = 2000, 100


@pytest.fixture(scope="session")
def strange(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A store of three runs, of which odd copies are made."""
    return build(tmp_path_factory.mktemp("strange"))


def tried(strange: World, folder: Path, numbers: range, count: Case, most: int = 10) -> None:
    for number in numbers:
        with count():
            (folder / str(number)).mkdir()
            assert stranger_cases.case(strange, folder / str(number), number, most) == []


@pytest.mark.promise
@pytest.mark.failure("received folder")
@pytest.mark.parametrize("start", range(0, 30, 15))
def test_no_odd_artifact_does_more_than_end_in_a_sentence(strange: World, tmp_path: Path, case: Case, start: int) -> None:
    tried(strange, tmp_path, range(start, start + 15), case, most=3)


@pytest.mark.failure("received folder")
@pytest.mark.parametrize("number", [10_011, 10_648, 11_644, 11_647])
def test_what_once_ended_in_a_traceback_ends_in_a_sentence(strange: World, tmp_path: Path, case: Case, number: int) -> None:
    tried(strange, tmp_path, range(number, number + 1), case)


@pytest.mark.thorough
@pytest.mark.timeout(1200)
@pytest.mark.failure("received folder")
@pytest.mark.parametrize("start", range(10_000, 10_000 + MANY, BLOCK))
def test_no_odd_artifact_of_many_does_more_than_end_in_a_sentence(strange: World, tmp_path: Path, case: Case, start: int) -> None:
    tried(strange, tmp_path, range(start, start + BLOCK), case)


READERS = {
    "verify": ["verify"],
    "status": ["status", "--json"],
    "show": ["show", "{eval}"],
    "sql": ["sql", "select class_name, avg(affinity_image) from affinity group by all"],
    "report": ["report", "{eval}", "-o", "{folder}/report.html"],
    "predict": ["predict", "photo.png", "--adapter", "{adapter}", "--model", "local-dir:model", "--explain", "--sets", "0.9"],
    "export": ["export", "{folder}/exported", "--adapter", "{adapter}"],
}


@pytest.mark.failure("at once")
@pytest.mark.parametrize("reader", READERS)
def test_what_is_removed_while_it_is_read_is_never_called_damaged(strange: World, tmp_path: Path, case: Case, reader: str) -> None:
    names = {stage: sorted((strange.store / stage).iterdir())[-1].name for stage in ("eval", "adapter")}
    for number in (1, 15, 30, 60):
        folder = tmp_path / str(number)
        folder.mkdir()
        argv = [word.format(folder=folder, **names) for word in READERS[reader]]
        with case():
            assert stranger_cases.while_removed(strange, folder, argv, number) == []
