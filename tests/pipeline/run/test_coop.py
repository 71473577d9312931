"""Runs on prompts that CoOp tunes: built once, reused, and met by every later stage; refused where there is no text tower."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.pipeline.run.test_execute import built, settings
from tests.worlds.inputs import COLOURS, write_layout, write_photos
from xmap.pipeline.run.execute import RunResult, preview, run
from xmap.pipeline.run.plan import make_plan
from xmap.pipeline.settings.config import XmapConfig
from xmap.stages.fewshot.load import load_text
from xmap.stages.imports.tip_adapter import import_tip_adapter
from xmap.stages.workplace.progress import Silent
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.errors import InputError

COOP = {"text__text": "coop", "text__context_epochs": 3}


def of(result: RunResult, stage: str) -> list[Artifact]:
    return [artifact for artifact in result.artifacts.values() if artifact.stage == stage]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Path, RunResult]:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("coop")
    photos = write_photos(folder / "photos")
    # Words that xmap-tiny knows: between names it does not know no context makes a difference.
    for old, new in zip(COLOURS, ("zero", "seven", "eight"), strict=True):
        for split in photos.iterdir():
            (split / old).rename(split / new)
    store = Store(folder / "store")
    run(store, settings(photos))
    return store, photos, run(store, settings(photos, **COOP))


def test_tuning_encodes_no_image_again(finished: tuple[Store, Path, RunResult]) -> None:
    _, _, result = finished
    assert built(result) == {"coop", "cache", "adapter", "eval"}


def test_each_seed_has_texts_of_its_own_which_its_cache_and_adapters_stand_on(finished: tuple[Store, Path, RunResult]) -> None:
    _, _, result = finished
    tuned = of(result, "coop")
    assert [artifact.fields["seed"] for artifact in tuned] == [1, 2]
    assert len({load_text(artifact).weights.numpy().tobytes() for artifact in tuned}) == 2
    for stage in ("cache", "adapter"):
        assert {artifact.inputs["texts"] for artifact in of(result, stage)} == {artifact.fingerprint for artifact in tuned}


def test_the_cost_is_reported(finished: tuple[Store, Path, RunResult]) -> None:
    _, _, result = finished
    summary = of(result, "coop")[0].summary
    assert summary["trainable_parameters"] == summary["context"] * 32 > 0
    assert summary["train_seconds"] > 0
    assert summary["peak_bytes"] > 1e7
    assert summary["selection"]["selected_on"].startswith("validation, 1 a class")
    row = result.results[0]
    assert row["text"] == "coop"
    assert row["text_parameters"] == summary["trainable_parameters"]
    assert row["text_seconds"] > 0
    assert row["text_trials"] == 3


def test_zero_shot_on_tuned_prompts_is_the_tuned_classifier(finished: tuple[Store, Path, RunResult]) -> None:
    _, _, result = finished
    row = next(row for row in result.results if row["method"] == "zero-shot")
    assert row["ci_kind"] == "student-t over seeds", "its texts are drawn by the seed"


def test_a_second_run_reuses_all(finished: tuple[Store, Path, RunResult]) -> None:
    store, photos, _ = finished
    again = settings(photos, **COOP)
    assert built(run(store, again)) == set()
    states = {step.stage: step.state for step in preview(store, make_plan(store, again))}
    assert states["coop"] == "reused"


def test_other_options_tune_again_and_prompts_are_left_alone(finished: tuple[Store, Path, RunResult]) -> None:
    store, photos, _ = finished
    other = run(store, settings(photos, **{**COOP, "text__context": 2}))
    assert built(other) == {"coop", "cache", "adapter", "eval"}
    assert of(other, "coop")[0].summary["context"] == 2
    assert built(run(store, settings(photos))) == set()


def test_stored_features_find_their_text_tower(finished: tuple[Store, Path, RunResult]) -> None:
    store, _, first = finished
    name = of(first, "images")[0].name
    chosen = {"run.features": name, "run.methods": "zero-shot", "run.seeds": "1,2", "cache.shots": 2, "extract.views": 1}
    config = XmapConfig().override({**chosen, "encoder.model": "xmap-tiny", "text.text": "coop", "text.context_epochs": 3})
    result = run(store, config)
    assert [a.fingerprint for a in of(result, "coop")] == [a.fingerprint for a in of(first, "coop")]
    folder = Path(__file__).resolve().parents[3] / "xmap/stages/encoder/models/xmap-tiny-vit"
    other = config.override({"encoder.model": f"local-dir:{folder}"})
    with pytest.raises(InputError, match="give the --model and --pretrained they were extracted with"):
        make_plan(store, other)


def test_imported_features_have_no_text_tower(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    import_tip_adapter(store, write_layout(tmp_path / "toy"), "toy", 100.0, Silent())
    config = XmapConfig().override({"run.features": "toy", "cache.shots": 1, "run.methods": "xmadapter-paper", "run.seeds": "1"})
    with pytest.raises(InputError, match="without a text tower"):
        make_plan(store, config.override({"text.text": "coop"}))
    remarks = make_plan(store, config).remarks
    assert any("hand prompts" in remark and "imported" in remark for remark in remarks)


def test_the_support_of_the_texts_is_the_support_of_the_cache(finished: tuple[Store, Path, RunResult]) -> None:
    store, _, result = finished
    from xmap.stages.config import CacheConfig
    from xmap.stages.fewshot.cache import OpenCache
    from xmap.stages.tune_texts.stage import support_task

    images, texts = of(result, "images")[0], store.artifacts("texts")[0]
    for cache in of(result, "cache"):
        spec: Any = SimpleNamespace(cache=CacheConfig(shots=2), seed=int(cache.summary["seed"]), protocol="few")
        task = support_task(images, texts, spec)
        support = OpenCache(cache, texts).support(images)
        assert task.support.sample_ids == support.sample_ids
        np.testing.assert_array_equal(task.support.keys.numpy(), support.keys.numpy())
