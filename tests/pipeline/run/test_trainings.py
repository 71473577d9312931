"""Training from parcels: the artifact that training beside the store gives, without a test feature in sight."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.worlds.inputs import write_layout, write_photos
from tests.worlds.pictures import picture
from xmap.pipeline.run import trainings as training_module
from xmap.pipeline.run.execute import execute, run
from xmap.pipeline.run.plan import make_plan
from xmap.pipeline.run.trainings import Trained, Trainer, Training, _not_test, train_away
from xmap.pipeline.settings.config import XmapConfig
from xmap.stages.imports.tip_adapter import import_tip_adapter
from xmap.stages.workplace.engine import LOCAL, Advance, LocalEngine
from xmap.stages.workplace.place import Workplace
from xmap.stages.workplace.progress import Silent
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.parcel import pack
from xmap.store.errors import XmapError
from xmap.store.formats.features import read_images
from xmap.store.formats.packs import all_packs

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


def world(store: Store, engine: LocalEngine = LOCAL) -> tuple[Workplace, tuple[Training, ...], dict[str, Artifact]]:
    """Where to train, what, and all artifacts by fingerprint."""
    plan = make_plan(store, XmapConfig().override(SETTINGS))
    return Workplace(store, engine=engine), plan.trainings, {artifact.fingerprint: artifact for artifact in store.artifacts()}


def test_elsewhere_all_that_are_missing_are_trained_at_once(store: Store, tmp_path: Path) -> None:
    engine = AwayEngine()
    away, trainings, built = world(store, engine)
    assert train_away(trainings, built, away) == {}
    assert [training.spec.method for training in engine.items] == ["tip-adapter", "taskres"]
    for training in trainings:
        artifact, own = store.require(training.identity), training.build(built, Workplace(Store(tmp_path / "here")))
        assert artifact.verify() == []
        for entry, other in zip(artifact.manifest["files"], own.manifest["files"], strict=True):
            assert entry == other


def test_a_worker_is_handed_no_test_features(store: Store) -> None:
    engine = AwayEngine()
    away, trainings, built = world(store, engine)
    train_away(trainings, built, away)
    parcels, *_ = engine.made.args
    assert sorted(parcel.stage for parcel in parcels) == ["cache", "images", "texts"]
    names = {name for parcel in parcels for name in parcel.files}
    assert any(name.startswith("support-") for name in names)
    assert not any("test" in name for name in names)
    (images,) = (artifact for artifact in built.values() if artifact.stage == "images")
    assert any("test" in path.name for path in images.path.iterdir())


@pytest.mark.promise
def test_features_by_content_go_along_and_those_of_test_images_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that lie in packs: workers elsewhere see no store."""
    monkeypatch.setattr(training_module, "PACK", 5)
    photos, engine = write_photos(tmp_path / "photos", train=2, val=1, test=2), AwayEngine()
    extract = {"data.data": str(photos), "encoder.model": "xmap-tiny", "extract.views": 1, "run.workers": 0}
    config = XmapConfig().override({**SETTINGS, **extract, "run.features": ""})
    store = Store(tmp_path / "store")
    run(store, config, build=("images", "texts", "cache"))
    plan, built = make_plan(store, config), {artifact.fingerprint: artifact for artifact in store.artifacts()}
    assert train_away(plan.trainings, built, Workplace(store, engine=engine)) == {}
    for training in plan.trainings:
        own = training.build(built, Workplace(Store(tmp_path / "here")))
        assert store.require(training.identity).manifest["files"] == own.manifest["files"]

    (images,) = (artifact for artifact in built.values() if artifact.stage == "images")
    worker = engine.made()
    plain, augmented = (packs.paths() for packs in all_packs(worker._workplace.store))
    assert sorted((len(plain), len(augmented))) == [2, 2]
    found = vectors(worker._workplace.store.root)
    for split, there in (("train", True), ("val", True), ("test", False)):
        rows = {feature.tobytes() for feature in read_images(images.files(prefix=f"{split}-")).features}
        assert (found & rows) == (rows if there else set())


def vectors(root: Path) -> set[bytes]:
    """Every vector of every table under a folder."""
    paths = [path for path in root.rglob("*.parquet") if "feature" in pq.read_schema(path).names]
    return {np.asarray(vector, np.float32).tobytes() for path in paths for vector in pq.read_table(path)["feature"].to_pylist()}


def test_nothing_is_spread_where_another_process_has_finished_all(store: Store) -> None:
    here, trainings, built = world(store)
    for training in trainings:
        training.build(built, here)
    engine = AwayEngine()
    assert train_away(trainings, built, replace(here, engine=engine)) == {}
    assert engine.items == []


def answer(store: Store, **changes: Any) -> Trained:
    """What a worker makes of the first training with another spec."""
    _, (training, *_), built = world(store)
    worker = Trainer([pack(built[digest], _not_test) for digest in training.inputs], {}, "cpu")
    (found,) = worker.work([replace(training, spec=replace(training.spec, **changes))], lambda units: None)
    return found


def test_an_expected_failure_is_a_sentence_and_a_defect_its_traceback(store: Store) -> None:
    expected = answer(store, method="no-such")
    assert (expected.parcel, expected.expected) == (None, True)
    assert "unknown method 'no-such'" in expected.problem
    assert type(expected.error) is XmapError
    defect = answer(store, seed="none")
    assert (defect.parcel, defect.expected) == (None, False)
    assert defect.problem.startswith("Traceback")
    assert type(defect.error) is RuntimeError


def test_what_failed_elsewhere_is_raised_where_its_step_is_due(store: Store) -> None:
    """And the others are kept."""
    plan = make_plan(store, XmapConfig().override(SETTINGS))
    first, second = plan.trainings
    broken = replace(plan, trainings=(replace(first, spec=replace(first.spec, method="no-such")), second))
    with pytest.raises(XmapError, match="no-such"):
        execute(Workplace(store, engine=AwayEngine()), broken)
    assert (store.find(first.identity), store.find(second.identity) is None) == (None, False)


def test_a_pool_goes_along_and_is_learned_from_elsewhere_as_here(tmp_path: Path) -> None:
    photos, engine, store = write_photos(tmp_path / "photos"), AwayEngine(), Store(tmp_path / "store")
    loose = tmp_path / "loose"
    loose.mkdir()
    for number in range(5):
        picture(100 + number).save(loose / f"{number}.png")
    learned = {"run.features": "", "run.methods": "xmadapter", "run.pool": str(loose), "cache.shots": 1, "cache.short": "keep"}
    extract = {"data.data": str(photos), "encoder.model": "xmap-tiny", "extract.views": 0, "run.workers": 0}
    config = XmapConfig().override({**SETTINGS, **extract, **learned})
    (training,) = make_plan(store, config).trainings
    run(store, config, build=("images", "texts", "cache", "adapter"))
    built = {artifact.fingerprint: artifact for artifact in store.artifacts()}
    own = store.require(training.identity)
    files = own.manifest["files"]
    store.remove(own)
    assert train_away([training], built, Workplace(store, engine=engine)) == {}
    made = store.require(training.identity)
    assert made.manifest["files"] == files
    assert made.summary["pool"]["images"] == 5
