"""An opened cache: its rows are read once, and held against its classes, its index and the features it was built from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.stages.train.test_stage import Scene, scene
from xmap.stages.adapters.scorer import Scorer
from xmap.stages.fewshot.cache import IMAGE_INDEX, OpenCache
from xmap.stages.fewshot.cached import VALUES
from xmap.store.artifacts.artifact import Artifact, Identity
from xmap.store.errors import ArtifactDamaged
from xmap.store.formats.index import VectorIndex
from xmap.store.formats.log import read_values, write_values


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The rows of caches that were read."""
    paths: list[Path] = []

    def noted(path: Path) -> Any:
        paths.append(path)
        return read_values(path)

    monkeypatch.setattr("xmap.stages.fewshot.cached.read_values", noted)
    return paths


@pytest.mark.parametrize("top_k", ["all", 3])
def test_training_and_scoring_read_the_rows_once(tmp_path: Path, reads: list[Path], top_k: Any) -> None:
    here = scene(tmp_path)
    adapter = here.train("tip-adapter", top_k=top_k)
    assert reads == [here.cache.file(VALUES)]
    opened = OpenCache(here.cache, here.texts)
    for _ in range(2):
        scorer = Scorer(adapter, opened)
        assert scorer.neighbors(opened.text.weights, 2).rows.shape == (opened.text.classes, 2)
    assert len(opened.values) == 16
    assert len(reads) == 2


def rebuilt(here: Scene, ids: Sequence[str], labels: Any, names: Sequence[str], keys: int = 16) -> Artifact:
    """The cache as somebody else's, with other rows and an index over other keys."""
    with here.world.store.build(Identity("cache", "odd", {"shots": 4}, {})) as draft:
        assert not isinstance(draft, Artifact)
        write_values(draft.path / VALUES, ids, np.asarray(labels), names, "0" * 64)
        VectorIndex.build(np.eye(16, 8, dtype=np.float32)[:keys]).save(draft.path / IMAGE_INDEX)
        return draft.commit(here.cache.summary)


def test_rows_of_other_classes_or_features_are_damage(tmp_path: Path) -> None:
    here = scene(tmp_path)
    values, names = read_values(here.cache.file(VALUES)), here.cache.summary["classes"]
    for labels, said, problem in (
        (values.labels[::-1], names, "its labels are not those of 4 classes in order"),
        ([*values.labels[:-1], 4], [*names, "more"], "its labels are not those of 4 classes in order"),
        (values.labels, names[::-1], "its class names are not those of the cache"),
    ):
        with pytest.raises(ArtifactDamaged, match=problem):
            _ = OpenCache(rebuilt(here, values.sample_ids, labels, said), here.texts).values
        here.world.store.remove(here.world.store.artifacts("cache")[-1])
    odd = OpenCache(rebuilt(here, values.sample_ids[::-1], values.labels, names, keys=15), here.texts)
    with pytest.raises(ArtifactDamaged, match="it holds 15 keys of width 8, not 16 of width 8"):
        _ = odd.index
    with pytest.raises(ArtifactDamaged, match="its rows are not those of the image features"):
        odd.support(here.images)
    summary = {**here.cache.summary, "widths": [4, 4]}
    wide = Artifact(here.cache.path, {**here.cache.manifest, "summary": summary})
    with pytest.raises(ArtifactDamaged, match="its first encoder has width 4, its texts 8"):
        _ = OpenCache(wide, here.texts).widths
