"""Several runs at once end with one artifact of each kind, and whoever reads meanwhile never meets half of one."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.promises.conftest import Commands, Control, Ended
from tests.worlds.extraction import Told, plan_job, stored_rows
from tests.worlds.extraction import tree as extracted
from tests.worlds.faults import Case
from tests.worlds.pictures import picture
from tests.worlds.runs import DATA, FEATURES, MODEL, RUN, tree
from xmap.pipeline.upkeep.collect import remove
from xmap.stages.config import ExtractConfig
from xmap.stages.extract.shard_encoder import ShardEncoder
from xmap.store.artifacts.artifact import Store
from xmap.store.errors import StoreBusy
from xmap.store.formats.features import read_images
from xmap.store.sql.connection import connect


def look(store: Path) -> int:
    """Read all there is, as a stage and as a query would."""
    survey = Store(store).survey()
    assert survey.damaged == {}
    for artifact in survey.artifacts:
        assert artifact.verify() == []
        if artifact.stage == "images":
            assert len(read_images(artifact.files("train-"))) == 12
    with connect(store) as connection:
        assert connection.damaged == ()
        counts = connection.query("SELECT count(*) AS n FROM samples")["n"].to_pylist()
        connection.query("SELECT count(*) FROM affinity a JOIN predictions p USING (sample_id)")
    assert counts in ([0], [12])
    return len(survey.artifacts)


@pytest.mark.promise
@pytest.mark.failure("at once")
def test_four_runs_at_once_end_as_one_and_readers_see_whole_artifacts(
    commands: Commands, world: Path, control: Control, tmp_path: Path, case: Case
) -> None:
    store = tmp_path / "store"
    commands.start(4, *RUN, cwd=world, store=store, fault=("slow", 5))
    seen = []
    while not commands.ended():
        with case():
            seen.append(look(store))
        time.sleep(0.02)
    runs = commands.wait()
    assert [ended.code for ended in runs] == [0] * 4, runs[0].stderr
    assert len({ended.stdout for ended in runs}) == 1
    assert tree(store) == control.tree
    assert list(store.rglob("*.partial")) == []
    assert list(store.glob("locks/run-*")) == []
    assert seen == sorted(seen)
    assert any(0 < count < look(store) for count in seen)
    assert any("waiting: another xmap is building" in ended.stderr for ended in runs)


@pytest.mark.failure("at once")
def test_nothing_is_collected_under_a_run(commands: Commands, world: Path, control: Control, tmp_path: Path, case: Case) -> None:
    """A collector without settings would take every artifact of a run that has no evaluation yet."""
    store = tmp_path / "store"
    commands.start(2, *RUN, cwd=world, store=store, fault=("slow", 2))
    refused = 0
    while not commands.ended():
        with case():
            try:
                remove(Store(store))
            except StoreBusy:
                refused += 1
    runs = commands.wait()
    assert [ended.code for ended in runs] == [0, 0], runs[0].stderr + runs[1].stderr
    assert refused > 1
    assert tree(store) == control.tree


@pytest.mark.promise
@pytest.mark.failure("at once")
def test_two_data_sets_with_images_in_common_are_extracted_side_by_side(
    commands: Commands, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    """The second begins and ends in a process of its own while the first is encoding: it waits for nobody."""
    torch.set_num_threads(1)
    config = ExtractConfig(views=1, batch_size=4, shard_batches=1)
    larger = tmp_path / "larger"
    shutil.copytree(world / DATA, larger)
    picture(900).save(larger / "train" / "ant" / "new.png")
    ended: list[Ended] = []
    encode = ShardEncoder._encode

    def beside(*given: Any) -> Any:
        if not ended:
            with case():
                ended.append(commands("extract", *FEATURES, cwd=world, store=tmp_path / "store"))
        return encode(*given)

    monkeypatch.setattr(ShardEncoder, "_encode", beside)
    told = Told()
    made = plan_job(larger, world / MODEL, tmp_path / "store", config).run(progress=told)
    assert [run.code for run in ended] == [0], ended[0].stderr
    assert not any("waiting" in line for line in [*told.lines, *ended[0].stderr.splitlines()])
    # Both made the rows that they share, which are kept once: `stored_rows` counts them.
    alone = plan_job(larger, world / MODEL, tmp_path / "alone", config)
    assert extracted(made) == extracted(alone.run())
    assert stored_rows(Store(tmp_path / "store")) == stored_rows(alone.store)
    assert {row[0] for rows in stored_rows(alone.store).values() for row in rows} == set(alone.hashes.values())
