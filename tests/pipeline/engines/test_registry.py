"""Which engine a run has, and settings of engines that contradict each other."""

from __future__ import annotations

import pytest

from xmap.pipeline.engines.registry import engine_of
from xmap.pipeline.settings.config import XmapConfig
from xmap.store.errors import InputError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"engine": "local", "gpus_per_worker": 1}, "--gpus-per-worker is for --engine ray"),
        ({"gpus_per_worker": 1, "device": "cpu"}, "contradicts --device cpu"),
        ({"gpus_per_worker": 0, "device": "cuda"}, "contradicts --device cuda"),
        ({"gpus_per_worker": 1.5}, "a whole number of GPUs, or a share of one"),
        ({"gpus_per_worker": 0.33333}, "a whole number of GPUs, or a share of one"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        engine_of(XmapConfig().override({f"run.{name}": value for name, value in {"engine": "ray", **changes}.items()}).run)
