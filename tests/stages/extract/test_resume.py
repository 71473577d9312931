"""An extraction that was stopped, killed or damaged half-way goes on and ends with the rows it would have had."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

import xmap.stages.machine.kind
from tests.worlds.extraction import Job, Plan, Told, stored_rows, tree
from tests.worlds.faults import Case, Points, in_child
from xmap.pipeline.upkeep.packs import wrong
from xmap.stages.config import ExtractConfig
from xmap.stages.datasets.dataset import TRAIN
from xmap.store.formats.packs import Packs, all_packs

KILLS = 5


class Stopped(BaseException):
    """Stands for the process's end: nothing but tests catches it."""


def stop_after(patch: pytest.MonkeyPatch, packs: int) -> None:
    """End the work when so many packs are written: an image's plain row may be there, and its augmented ones not yet."""
    real, done = Packs.write, []

    def stopping(self: Packs, rows: object) -> None:
        if len(done) == packs:
            raise Stopped
        done.append(real(self, rows))  # type: ignore[arg-type]

    patch.setattr(Packs, "write", stopping)


@pytest.mark.promise
@pytest.mark.parametrize("packs", range(6))
def test_resumed_extraction_gives_the_same_rows(plan: Plan, bad_photos: Path, monkeypatch: pytest.MonkeyPatch, packs: int) -> None:
    control = plan(store="control").run()
    job = plan()
    with monkeypatch.context() as patch:
        stop_after(patch, packs)
        with pytest.raises(Stopped):
            job.run()
    assert job.store.find(job.identity) is None
    there = complete(job)
    told = Told()
    resumed = plan().run(progress=told)
    assert tree(resumed) == tree(control)
    assert stored_rows(job.store) == stored_rows(plan(store="control").store)
    assert told.starts[0][2] == there
    assert resumed.summary == control.summary


def complete(job: Job) -> int:
    """How many images have all their rows in the store, or are remembered as bad."""
    rows = {row for found in stored_rows(job.store).values() for row in found}
    views = {job.hashes[sample.place]: 3 if sample.split == TRAIN else 1 for sample in job.dataset.samples if sample.place in job.hashes}
    bad = {content for packs in all_packs(job.store) for content in packs.reasons()}
    return sum(content in bad or all((content, view) in rows for view in range(count)) for content, count in views.items())


def write_points(job: Job, workers: int, note: Path) -> int:
    """How many write points an extraction passes."""

    def work() -> None:
        points = Points()
        points.install()
        job.run(workers)
        note.write_text(str(points.passed))

    assert in_child(work) == 0
    return int(note.read_text())


def killed_at(job: Job, workers: int, point: int) -> int:
    """Extract in a process group of its own, of which the write point kills every process; how it ended."""

    def work() -> None:
        os.setsid()
        Points(point, lambda: os.killpg(0, signal.SIGKILL)).install()
        job.run(workers)

    return in_child(work)


@pytest.mark.promise
@pytest.mark.failure("killed")
@pytest.mark.parametrize("workers", [0, 2])
def test_killed_extraction_gives_the_same_rows(plan: Plan, bad_photos: Path, tmp_path: Path, case: Case, workers: int) -> None:
    """Real processes and a real `kill -9` of them and their workers at a write point, twice in one store, then left alone."""
    config = ExtractConfig(views=2, batch_size=4, shard_batches=1)
    control = plan(config, store="control")
    expected = tree(control.run(workers))
    points = write_points(plan(config, store="counted"), workers, tmp_path / "points")
    assert points > KILLS
    for number in range(KILLS):
        with case():
            point = (2 * number + 1) * points // (2 * KILLS)
            job = plan(config, store=f"at-{point}")
            assert killed_at(job, workers, point) == -signal.SIGKILL
            killed_at(plan(config, store=f"at-{point}"), workers, points // KILLS)
            found = plan(config, store=f"at-{point}").run(workers)
            assert tree(found) == expected
            assert stored_rows(job.store) == stored_rows(control.store)
            assert found.verify() == wrong(job.store) == []
            assert not list(found.path.glob(".*"))


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[: len(data) // 2],
    "emptied": lambda data: b"",
    "no table": lambda data: b"of another kind",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_packs_of_a_half_done_extraction_are_made_again(plan: Plan, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    control = plan(store="control")
    expected = tree(control.run())
    job = plan()
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        with pytest.raises(Stopped):
            job.run()
    for packs in all_packs(job.store):
        for path in packs.paths():
            path.write_bytes(DAMAGE[damage](path.read_bytes()))
    assert tree(plan().run()) == expected
    assert wrong(job.store) == []
    assert stored_rows(job.store) == stored_rows(control.store)


def test_rows_of_another_machine_or_version_are_made_again(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    job = plan()
    with monkeypatch.context() as patch:
        patch.setattr(xmap.stages.machine.kind, "versions", lambda: {"torch": "1.0"})
        stop_after(patch, 3)
        with pytest.raises(Stopped):
            job.run()
    told = Told()
    assert tree(plan().run(progress=told)) == tree(plan(store="control").run())
    assert told.starts[0][2] == 0
