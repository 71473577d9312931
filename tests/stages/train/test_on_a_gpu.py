"""Training on a GPU, pretended where there is none: no tensor is left behind, and the adapter is the CPU's."""

from __future__ import annotations

from pathlib import Path

import pytest

import xmap.stages.train.stage
from tests.stages.train.test_stage import scene
from tests.worlds.pretended import pretended_gpu
from xmap.stages.methods.registry import METHODS


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_trained_as_on_the_cpu(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there, here = scene(tmp_path / "there", val=8), scene(tmp_path / "here", val=8)
    expected = here.train(method)
    with pretended_gpu() as device:
        monkeypatch.setattr(xmap.stages.train.stage, "resolve_device", lambda _: device)
        found = there.train(method)
    assert {path.name: path.read_bytes() for path in found.files("")} == {path.name: path.read_bytes() for path in expected.files("")}
