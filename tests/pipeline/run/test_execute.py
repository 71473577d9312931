"""Whole runs: a second one builds nothing, a change rebuilds what depends on it and says why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import xmap
from tests.worlds.inputs import CLASSES, repaint, write_layout, write_photos
from xmap.pipeline.run.execute import RunResult, preview, run
from xmap.pipeline.run.plan import make_plan
from xmap.pipeline.run.reasons import NEW, words
from xmap.pipeline.settings.config import XmapConfig
from xmap.stages.imports.tip_adapter import import_tip_adapter
from xmap.stages.workplace.progress import Silent
from xmap.store.artifacts.artifact import Store
from xmap.store.artifacts.fingerprint import Change
from xmap.store.errors import ArtifactMissing, InputError, XmapError

SETTINGS = {
    "encoder.model": "xmap-tiny",
    "extract.views": 1,
    "extract.batch_size": 4,
    "run.methods": "zero-shot,tip-adapter",
    "run.seeds": "1,2",
    "run.workers": 0,
    "cache.shots": 2,
}


def settings(folder: Path, **overrides: object) -> XmapConfig:
    return XmapConfig().override(
        {**SETTINGS, "data.data": str(folder), **{key.replace("__", "."): value for key, value in overrides.items()}}
    )


def built(result: RunResult) -> set[str]:
    return {outcome.stage for outcome in result.outcomes if outcome.state == "built"}


def reasons(result: RunResult) -> dict[str, str]:
    return {outcome.title: outcome.why for outcome in result.outcomes if outcome.state == "built"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Path, RunResult]:
    folder = tmp_path_factory.mktemp("run")
    photos = write_photos(folder / "photos")
    store = Store(folder / "store")
    return store, photos, run(store, settings(photos))


def test_the_first_run_builds_everything(finished: tuple[Store, Path, RunResult]) -> None:
    _, _, first = finished
    assert {outcome.state for outcome in first.outcomes} == {"built"}
    assert {outcome.why for outcome in first.outcomes} == {NEW}
    assert [row["method"] for row in first.results] == ["zero-shot", "tip-adapter"]
    assert len(first.differences) == 1


def test_a_second_run_reuses_everything(finished: tuple[Store, Path, RunResult]) -> None:
    store, photos, first = finished
    second = run(store, settings(photos))
    assert {outcome.state for outcome in second.outcomes} == {"reused"}
    assert second.results == first.results
    assert {step.state for step in preview(store, make_plan(store, settings(photos)))} == {"reused"}


def test_more_shots_rebuild_caches_and_what_follows(finished: tuple[Store, Path, RunResult]) -> None:
    store, photos, _ = finished
    result = run(store, settings(photos, cache__shots=3))
    assert built(result) == {"cache", "adapter", "eval"}
    assert reasons(result)["build-cache, seed 2"] == "shots: 2 -> 3"
    assert reasons(result)["train tip-adapter, seed 2"] == "cache changed"
    assert reasons(result)["eval"] == "adapters changed"


def test_another_prompt_encodes_no_image_again(finished: tuple[Store, Path, RunResult]) -> None:
    store, photos, _ = finished
    changed = settings(photos, data__templates=["a drawing of {}."])
    expected = {step.title: step.why for step in preview(store, make_plan(store, changed)) if step.state == "built"}
    result = run(store, changed)
    assert built(result) == {"texts", "cache", "adapter", "eval"}
    assert "a drawing of {}." in reasons(result)[next(title for title in reasons(result) if title.startswith("text features"))]
    assert "class texts changed" in reasons(result)["build-cache, seed 1"]
    assert expected == reasons(result)


def test_a_changed_test_image_retrains_nothing(tmp_path: Path) -> None:
    photos, store = write_photos(tmp_path / "photos"), Store(tmp_path / "store")
    run(store, settings(photos))
    repaint(photos / "test" / "ant" / "0.png")
    result = run(store, settings(photos))
    assert built(result) == {"images", "pairs", "eval"}
    assert reasons(result)["eval"] == "test images changed"
    assert any("test images changed" in why for why in reasons(result).values())
    repaint(photos / "train" / "ant" / "0.png")
    result = run(store, settings(photos))
    assert built(result) == {"images", "cache", "adapter", "pairs", "eval"}
    assert reasons(result)["build-cache, seed 1"] == "training images changed"
    assert {outcome.state for outcome in run(store, settings(photos)).outcomes} == {"reused"}


def test_a_setting_of_the_protocol_reaches_adapters_and_evaluation_alone(finished: tuple[Store, Path, RunResult]) -> None:
    store, photos, _ = finished
    result = run(store, settings(photos, run__protocol="paper"))
    assert built(result) == {"adapter", "eval"}
    assert 'protocol: "few" -> "paper"' in reasons(result)["train tip-adapter, seed 1"]
    assert built(run(store, settings(photos, eval__bins=9))) == {"eval"}
    one = run(store, settings(photos, **{"methods__tip-adapter__beta": 3.0}))
    assert [outcome.title for outcome in one.outcomes if outcome.state == "built"] == [
        "train tip-adapter, seed 1",
        "train tip-adapter, seed 2",
        "eval",
    ]


def test_workers_and_device_change_nothing(finished: tuple[Store, Path, RunResult]) -> None:
    store, photos, _ = finished
    assert built(run(store, settings(photos, run__device="cpu", run__workers=1))) == set()


def test_a_stage_alone_names_what_comes_first(tmp_path: Path) -> None:
    photos, store = write_photos(tmp_path / "photos"), Store(tmp_path / "store")
    for stage, command in (("cache", "xmap extract"), ("adapter", "xmap extract"), ("pairs", "xmap extract"), ("eval", "xmap extract")):
        with pytest.raises(ArtifactMissing, match=command):
            run(store, settings(photos), build=(stage,))
    run(store, settings(photos), build=("images", "texts"))
    with pytest.raises(ArtifactMissing, match=r"xmap build-cache .*--seeds 1"):
        run(store, settings(photos), build=("adapter",))
    for stage in ("cache", "adapter", "pairs", "eval"):
        assert built(run(store, settings(photos), build=(stage,))) == {stage}


def test_imported_features_run_without_images(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    import_tip_adapter(store, write_layout(tmp_path / "layout"), "bugs", 100.0, Silent())
    config = XmapConfig().override({**SETTINGS, "run.features": "bugs"})
    result = run(store, config)
    assert built(result) == {"cache", "adapter", "eval"}
    assert built(run(store, config)) == set()
    assert built(run(store, config.override({"cache.shots": 1}))) == {"cache", "adapter", "eval"}


def test_words_put_settings_first_and_stay_short() -> None:
    digest = "0" * 64
    changes = [Change("inputs.cache", digest, "1" * 64), Change("fields.content.train", digest, "2" * 64), Change("fields.views", 1, 4)]
    assert words(changes) == "train images changed; views: 1 -> 4; cache changed"
    assert words([Change(f"fields.f{number}", 1, 2) for number in range(5)]).endswith(" and 2 more")
    given = "fields.options.grids.alpha"
    assert words([Change(given, None, [2.0])]) == "alpha is given"
    assert words([Change(given, [2.0], None)]) == "alpha is chosen"
    assert words([Change(given, [1.0], [2.0])]) == "alpha: [1.0] -> [2.0]"
    assert words([Change("inputs.validation", None, digest)]) == "validation images added"


def test_the_public_api_runs_loads_and_queries(tmp_path: Path) -> None:
    folder = write_photos(tmp_path / "photos")
    result = xmap.run(settings(folder), store=tmp_path / "store", cache={"shots": 1})
    assert result.results[1]["shots"] == 1
    adapter = xmap.load("photos-xmap-tiny-tip-adapter-1shot-seed1", store=tmp_path / "store")
    assert adapter.classes == CLASSES
    chances = adapter.predict_proba(np.ones((2, adapter.scorer.cache.width)))
    assert chances.shape == (2, 3)
    assert np.allclose(chances.sum(1), 1, atol=1e-5)
    with pytest.raises(InputError, match=r"shape \(B, "):
        adapter.predict_proba(np.ones((2, 3)))
    with pytest.raises(xmap.XmapError, match="xmap status"):
        xmap.load("absent", store=tmp_path / "store")
    with pytest.raises(XmapError, match="unknown field 'shot'"):
        xmap.run(settings(folder), store=tmp_path / "store", cache={"shot": 1})
    with xmap.connect(tmp_path / "store") as connection:
        assert connection.query("select count(distinct method) as n from runs")["n"].to_pylist() == [2]
