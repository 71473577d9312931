"""The curve on real features, if they are at hand: up to 8 shots it foretells what validation finds at 16."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.enough import trials
from xmap.pipeline.settings.config import XmapConfig
from xmap.pipeline.studies.enough import adapters_of
from xmap.stages.enough.curve import power
from xmap.stages.enough.study import answers_of
from xmap.stages.imports.tip_adapter import import_tip_adapter
from xmap.stages.workplace.progress import Silent
from xmap.store.artifacts.artifact import Store


@pytest.mark.thorough
@pytest.mark.parametrize("method", ["xmadapter", "taskres"])
def test_eight_shots_of_caltech_foretell_sixteen(method: str, shared_data: Path, own_store: Path) -> None:
    store = Store(own_store)
    import_tip_adapter(store, shared_data / "caltech69-b32", "caltech", 100.0, Silent())
    config = XmapConfig().override({"run.features": "caltech", "run.seeds": (1,), "run.device": "cpu"})
    tried = list(trials("caltech", method, answers_of(adapters_of(store, config, method, 16, Silent())), power))
    assert [(one.until, one.ahead) for one in tried][-1] == (8, 16)
    assert tried[-1].held
    # An interval that holds everything would be none.
    assert tried[-1].high - tried[-1].low < 8
