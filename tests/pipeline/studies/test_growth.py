"""Which adapters of a store belong to one curve."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.worlds.commands import call
from tests.worlds.inputs import write_layout
from xmap.pipeline.studies.growth import growth_of
from xmap.store.artifacts.artifact import Artifact, Store

# Of zero-shot, which takes no labels, nothing is said.
METHOD = ("--methods", "zero-shot,tip-adapter", "--device", "cpu", "--quiet", "--features", "layout")


@pytest.fixture
def store(tmp_path: Path, own_store: Path) -> Store:
    write_layout(tmp_path / "layout", shots=(1, 2, 4), per_class=12)
    assert call("import", "tip-adapter", tmp_path / "layout", "--name", "layout", "--quiet").exit_code == 0
    return Store(own_store)


def run(shots: int, seeds: str, *more: str) -> None:
    done = call("run", *METHOD, "--shots", shots, "--seeds", seeds, *more)
    assert done.exit_code == 0, done.output


def growth(store: Store, shots: int) -> list[int]:
    by_print = {artifact.fingerprint: artifact for artifact in store.artifacts()}
    own: list[Artifact] = [found for found in store.artifacts("adapter") if found.summary["shots"] == shots and found.summary["seed"] < 3]
    studies, remarks = growth_of([found for found in own if found.fields["protocol"] == "few"], by_print)
    assert remarks == ()
    return [point.shots for found in studies.values() for point in found.points]


def test_adapters_of_the_same_making_and_seeds_belong_together(store: Store) -> None:
    run(4, "1,2")
    assert growth(store, 4) == []
    run(2, "1,2,3")
    assert growth(store, 4) == [2, 4]
    # Of one seed alone, with nothing kept apart, or with other settings, they say nothing of these.
    run(1, "1")
    run(1, "2", "--protocol", "paper")
    run(1, "2", "--set", "methods.tip-adapter.alpha=3")
    assert growth(store, 4) == [2, 4]
    run(1, "2")
    assert growth(store, 4) == [1, 2, 4]
