"""Methods that learn from what a text tower gives before its projection: kept beside the texts for them alone, refused without a tower."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.pipeline.run.test_execute import built, settings
from tests.worlds.inputs import write_layout, write_photos
from xmap.pipeline.run.execute import run
from xmap.pipeline.run.plan import make_plan
from xmap.pipeline.settings.config import XmapConfig
from xmap.pipeline.studies.bench import bench
from xmap.pipeline.studies.jobs import Job
from xmap.pipeline.upkeep.collect import waste
from xmap.stages.imports.tip_adapter import import_tip_adapter
from xmap.stages.names import ADAPTER, EVAL, PROJECTION
from xmap.stages.workplace.progress import Silent
from xmap.store.artifacts.artifact import Store
from xmap.store.errors import InputError, MethodRefused

BOTH = {"run__methods": "zero-shot,semobridge,semobridge-t", "methods__semobridge-t__epochs": 2}


def test_it_is_built_once_for_those_that_ask_and_makes_nothing_else_anew(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    photos, store = write_photos(tmp_path / "photos"), Store(tmp_path / "store")
    before = run(store, settings(photos))
    assert PROJECTION not in {artifact.stage for artifact in before.artifacts.values()}
    result = run(store, settings(photos, **BOTH))
    assert built(result) == {PROJECTION, ADAPTER, EVAL}
    assert [outcome.title for outcome in result.outcomes if outcome.stage == ADAPTER and outcome.state == "reused"] == [
        "train zero-shot, seed 1",
        "train zero-shot, seed 2",
    ]
    kept = next(artifact for artifact in result.artifacts.values() if artifact.stage == PROJECTION)
    for artifact in result.artifacts.values():
        if artifact.stage == ADAPTER:
            asks = str(artifact.summary["method"]).startswith("semobridge")
            assert artifact.inputs.get("projection") == (kept.fingerprint if asks else None)
    assert built(run(store, settings(photos, **BOTH))) == set()
    assert not waste(store)
    config = XmapConfig().override({"run.features": kept.name, "run.methods": "semobridge", "cache.shots": 2, "encoder.model": "nowhere"})
    assert PROJECTION in {step.stage for step in make_plan(store, config).steps}, "what is there needs no model"
    store.remove(kept)
    with pytest.raises(InputError):
        make_plan(store, config)


def test_all_leaves_them_out_and_imported_features_refuse_them(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    import_tip_adapter(store, write_layout(tmp_path / "toy"), "toy", 100.0, Silent())
    config = XmapConfig().override({"run.features": "toy", "cache.shots": 1, "run.methods": "all", "run.seeds": "1"})
    assert not {"semobridge", "semobridge-t"} & set(config.run.methods)
    asked = config.override({"run.methods": "zero-shot,semobridge,semobridge-t"})
    with pytest.raises(MethodRefused, match=r"semobridge cannot learn from features 'toy': they were imported.* leave it out of --methods"):
        make_plan(store, asked)
    result = bench(store, [Job("toy", asked)], [1], Silent(), lambda outcome: None)
    assert [failure.method for failure in result.failures] == ["semobridge", "semobridge-t"]
    assert [row["method"] for row in result.cells[0].results] == ["zero-shot"]
