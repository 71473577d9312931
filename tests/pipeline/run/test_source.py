"""What manifests state of where images and encoder were found, and what is read of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.run.test_coop import COOP
from tests.pipeline.run.test_execute import settings
from tests.worlds.inputs import write_layout, write_photos
from xmap.pipeline.run.execute import run
from xmap.pipeline.run.plan import make_plan
from xmap.pipeline.run.source import source_of, stated
from xmap.pipeline.settings.config import XmapConfig
from xmap.stages.config import DataConfig, EncoderConfig
from xmap.stages.imports.tip_adapter import import_tip_adapter
from xmap.stages.workplace.progress import Silent
from xmap.store.artifacts.artifact import Artifact, Store
from xmap.store.artifacts.schemas import source_oddity
from xmap.store.errors import InputError


def artifact(source: dict[str, Any]) -> Artifact:
    return Artifact(Path("texts/t-12345678"), {"name": "t", "command": "xmap extract --model RN50", "source": source})


def test_all_that_a_plan_builds_states_its_source_outside_its_identity(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos")
    config = settings(photos)
    result = run(Store(tmp_path / "store"), config)
    assert {found.stage for found in result.artifacts.values()} == {"images", "texts", "cache", "adapter", "pairs", "eval"}
    for found in result.artifacts.values():
        assert found.manifest["source"] == source_of(config)
        assert stated(found, DataConfig) == config.data.model_copy(update={"templates": DataConfig().templates})
        assert stated(found, EncoderConfig) == config.encoder
    steps = make_plan(Store(tmp_path / "store"), config).steps
    for identity in (step.identity for step in steps):
        assert replace(identity, source={}).fingerprint == identity.fingerprint
    # Context vectors are tuned through an encoder that stored features do not bring along.
    again = settings(photos, **COOP).override({"data.data": "", "run.features": "photos"})
    by_stage = {step.stage: step.identity.source for step in make_plan(Store(tmp_path / "store"), again).steps}
    assert by_stage["coop"] == {"features": "photos", "encoder": source_of(again)["encoder"]}
    assert by_stage["cache"] == by_stage["eval"] == {"features": "photos"}


def test_imported_features_state_their_name_where_they_are_used(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    import_tip_adapter(store, write_layout(tmp_path / "layout"), "bugs", 100.0, Silent())
    config = XmapConfig().override({"run.features": "bugs", "cache.shots": 2, "run.methods": "zero-shot"})
    assert {str(step.identity.source) for step in make_plan(store, config).steps[2:]} == {"{'features': 'bugs'}"}


def test_no_credentials_are_stated() -> None:
    given = {
        "data.data": "s3://key:hidden@host/bucket/photos",
        "data.root": "https://user:hidden@example.org/tree?token=hidden",
        "data.classes": "https://example.org/classes.txt?sig=hidden",
        "encoder.pretrained": "https://user:hidden@example.org/w.pt",
    }
    source = source_of(XmapConfig().override(given))
    assert "hidden" not in json.dumps(source)
    assert source["data"]["data"] == "s3://host/bucket/photos"  # type: ignore[index, call-overload]
    assert source["data"]["classes"] == "https://example.org/classes.txt"  # type: ignore[index, call-overload]


@pytest.mark.parametrize(
    ("labels", "said"),
    [([], ""), ("a.csv", "a.csv"), (["a.csv"], "a.csv"), (["a, b.csv", "s3://key:hidden@host/c.csv"], ["a, b.csv", "s3://host/c.csv"])],
)
def test_corrections_are_stated_as_earlier_versions_read_them_where_there_is_one_table(labels: Any, said: Any) -> None:
    source = source_of(XmapConfig().override({"data.labels": labels}))
    assert source["data"]["labels"] == said  # type: ignore[index, call-overload]
    assert source_oddity(source) is None
    assert stated(artifact(source), DataConfig).labels == tuple(said if isinstance(said, list) else [said] * bool(said))


def test_settings_of_a_later_version_are_passed_over_and_odd_ones_refused() -> None:
    known = artifact({"encoder": {"model": "RN101", "later": 1}})
    assert stated(known, EncoderConfig) == EncoderConfig(model="RN101")
    assert stated(artifact({}), EncoderConfig) == EncoderConfig(), "a source that is there is asked, not the command"
    with pytest.raises(InputError, match="'t' states an odd data of its data; name its own with --data"):
        stated(artifact({"data": {"data": ["photos"]}}), DataConfig)
    for table in ({"precision": "fp99"}, {"model": 5}, {"force_quick_gelu": "maybe"}):
        with pytest.raises(InputError, match=r"'t' states an odd \w+ of its encoder; name its own with --model\."):
            stated(artifact({"encoder": table}), EncoderConfig)
