"""Training from parcels: the artifact that training beside the store gives, without a test feature in sight."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.worlds.inputs import write_layout
from xmap.pipeline.run.execute import run
from xmap.pipeline.run.plan import make_plan
from xmap.pipeline.run.trainings import Trained, Trainer, Training, Trainings, _not_test
from xmap.pipeline.settings.config import XmapConfig
from xmap.stages.engine import LOCAL, Advance, LocalEngine
from xmap.stages.extract.imported import import_tip_adapter
from xmap.stages.progress import Silent
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.parcel import pack
from xmap.store.errors import XmapError

SETTINGS = {"run.features": "mine", "cache.shots": 2, "run.methods": "tip-adapter,taskres", "run.seeds": "1"}


class AwayEngine(LocalEngine):
    """The local engine, which says that it works elsewhere and remembers what it was handed."""

    away = True

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.made: Any = None

    def spread(self, make: Callable[[], Any], items: Sequence[Any], advance: Advance) -> Generator[Any]:
        self.items += items
        self.made = make
        return super().spread(make, items, advance)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    import_tip_adapter(made, write_layout(tmp_path / "layout"), "mine", 100.0, Silent())
    run(made, XmapConfig().override(SETTINGS), build=("images", "texts", "coop", "cache"))
    return made


def trainings(store: Store, engine: LocalEngine) -> tuple[Trainings, dict[str, Artifact]]:
    plan = make_plan(store, XmapConfig().override(SETTINGS))
    waiting = [step.build.args[0] for step in plan.steps if step.stage == "adapter"]  # type: ignore[attr-defined]
    return Trainings(store, engine, waiting), {artifact.fingerprint: artifact for artifact in store.artifacts()}


def test_elsewhere_all_that_are_missing_are_trained_at_once(store: Store, tmp_path: Path) -> None:
    engine = AwayEngine()
    found, built = trainings(store, engine)
    made = [found.build(training, built, Silent()) for training in found.waiting]
    assert [training.method for training in engine.items] == ["tip-adapter", "taskres"]
    assert [artifact.fingerprint for artifact in made] == [training.identity.fingerprint for training in found.waiting]
    here = Store(tmp_path / "here")
    beside, _ = trainings(store, LOCAL)
    for artifact, training in zip(made, found.waiting, strict=True):
        own = replace(beside, store=here).build(training, built, Silent())
        assert artifact.verify() == []
        for entry, other in zip(artifact.manifest["files"], own.manifest["files"], strict=True):
            assert entry == other


def test_a_worker_is_handed_no_test_features(store: Store) -> None:
    engine = AwayEngine()
    found, built = trainings(store, engine)
    found.build(found.waiting[0], built, Silent())
    (parcels,) = engine.made.args
    assert sorted(parcel.stage for parcel in parcels) == ["cache", "images", "texts"]
    names = {name for parcel in parcels for name in parcel.files}
    assert any(name.startswith("support-") for name in names)
    assert not any("test" in name for name in names)
    (images,) = (artifact for artifact in built.values() if artifact.stage == "images")
    assert any("test" in path.name for path in images.path.iterdir())


def test_nothing_is_spread_where_another_process_has_finished_all(store: Store) -> None:
    found, built = trainings(store, LOCAL)
    made = [found.build(training, built, Silent()).fingerprint for training in found.waiting]
    engine = AwayEngine()
    again, _ = trainings(store, engine)
    assert [again.build(training, built, Silent()).fingerprint for training in again.waiting] == made
    assert engine.items == []


def answer(store: Store, training: Training) -> Trained:
    _, built = trainings(store, LOCAL)
    worker = Trainer([pack(built[digest], _not_test) for digest in training.inputs])
    (found,) = worker.work([training], lambda units: None)
    return found


def test_an_expected_failure_is_a_sentence_and_a_defect_its_traceback(store: Store) -> None:
    found, _ = trainings(store, LOCAL)
    first = found.waiting[0]
    expected = answer(store, replace(first, protocol="few", shots=7))
    assert (expected.parcel, expected.expected) == (None, True)
    assert "hold a support for 1, 2 shots, not for 7" in expected.problem
    defect = answer(store, replace(first, seed="none"))  # type: ignore[arg-type]
    assert (defect.parcel, defect.expected) == (None, False)
    assert defect.problem.startswith("Traceback")


@pytest.mark.parametrize(("expected", "kind"), [(True, XmapError), (False, RuntimeError)])
def test_what_failed_elsewhere_is_raised_here(store: Store, expected: bool, kind: type[Exception]) -> None:
    found, built = trainings(store, AwayEngine())
    training = found.waiting[0]
    found.problems = {training.identity.fingerprint: Trained(training.identity.fingerprint, None, "it failed", expected)}
    with pytest.raises(kind, match="it failed"):
        found.build(training, built, Silent())
