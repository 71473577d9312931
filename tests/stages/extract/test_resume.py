"""An extraction that was stopped, killed or damaged half-way goes on and ends with the same bytes."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

import xmap.stages.extract.work
import xmap.stages.machine.kind
from tests.worlds.extraction import Job, Plan, Told, tree
from tests.worlds.faults import Case, Points, in_child
from xmap.stages.config import ExtractConfig
from xmap.stages.extract.shards import plan_shards
from xmap.store.artifacts.artifact import Draft

KILLS = 5


class Stopped(BaseException):
    """Stands for the process's end: nothing but tests catches it."""


def stop_after(monkeypatch: pytest.MonkeyPatch, shards: int) -> None:
    real, done = xmap.stages.extract.work.write_images, []

    def stopping(*arguments: object) -> None:
        if len(done) == shards:
            raise Stopped
        done.append(real(*arguments))  # type: ignore[arg-type]

    monkeypatch.setattr(xmap.stages.extract.work, "write_images", stopping)


@pytest.mark.promise
@pytest.mark.parametrize("shards", range(6))
def test_resumed_extraction_gives_the_same_bytes(plan: Plan, bad_photos: Path, monkeypatch: pytest.MonkeyPatch, shards: int) -> None:
    control = plan(store="control").run()
    job = plan()
    with monkeypatch.context() as patch:
        stop_after(patch, shards)
        with pytest.raises(Stopped):
            job.run()
    assert job.store.find(job.identity) is None
    told = Told()
    resumed = plan().run(progress=told)
    assert tree(resumed) == tree(control)
    assert told.starts[0][2] == sum(len(shard) for shard in _shard_sizes(job)[:shards])
    assert resumed.summary == control.summary


def _shard_sizes(job: Job) -> list[tuple[object, ...]]:
    return [shard.samples for shard in plan_shards(job.dataset, job.hashes, job.config, {})]


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
def test_killed_extraction_gives_the_same_bytes(plan: Plan, bad_photos: Path, tmp_path: Path, case: Case, workers: int) -> None:
    """Real processes and a real `kill -9` of them and their workers at a write point, twice in one store, then left alone."""
    config = ExtractConfig(views=2, batch_size=4, shard_batches=1)
    control = plan(config, store="control").run(workers)
    points = write_points(plan(config, store="counted"), workers, tmp_path / "points")
    assert points > KILLS
    for number in range(KILLS):
        with case():
            point = (2 * number + 1) * points // (2 * KILLS)
            assert killed_at(plan(config, store=f"at-{point}"), workers, point) == -signal.SIGKILL
            killed_at(plan(config, store=f"at-{point}"), workers, points // KILLS)
            found = plan(config, store=f"at-{point}").run(workers)
            assert tree(found) == tree(control)
            assert found.verify() == []
            assert not list(found.path.glob(".*"))


def test_a_damaged_shard_of_a_half_done_extraction_is_made_again(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    control = plan(store="control").run()
    job = plan()
    with job.store.build(job.identity) as draft:
        assert isinstance(draft, Draft)
        names = sorted(tree(control))
        for place, name in enumerate(names):
            shutil.copy(control.path / name, draft.path)
            data = bytearray((draft.path / name).read_bytes())
            data[len(data) // 3] ^= 4
            (draft.path / name).write_bytes([bytes(data[: len(data) // 2]), bytes(data), b""][place % 3])
        (draft.path / "train-00099.parquet").write_bytes(b"of another plan")
    assert tree(plan().run()) == tree(control)


def test_shards_of_another_machine_or_version_are_made_again(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    job = plan()
    with monkeypatch.context() as patch:
        patch.setattr(xmap.stages.machine.kind, "versions", lambda: {"torch": "1.0"})
        stop_after(patch, 3)
        with pytest.raises(Stopped):
            job.run()
    told = Told()
    assert tree(plan().run(progress=told)) == tree(plan(store="control").run())
    assert told.starts[0][2] == 0
