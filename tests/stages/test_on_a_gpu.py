"""Training and evaluating on a GPU, pretended where there is none: no tensor is left behind, and results are the CPU's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import xmap.stages.eval.scoring
import xmap.stages.eval.stage
import xmap.stages.train.stage
from tests.stages.train.test_stage import scene
from tests.worlds.evaluation import Scene
from tests.worlds.pretended import REFUSED, pretended_gpu
from xmap.stages.methods.registry import METHODS
from xmap.store.artifacts.artifact import Artifact
from xmap.store.formats.tables import read_table

QUICK = {"epochs": 2, "min_steps": 2}


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The stages' device."""
    with pretended_gpu() as device:
        for stage in (xmap.stages.train.stage, xmap.stages.eval.stage, xmap.stages.eval.scoring):
            monkeypatch.setattr(stage, "resolve_device", lambda _: device)
        yield device


def results(root: Path, method: str, **config: Any) -> list[Artifact]:
    """An adapter of the method and what it comes to on the test split."""
    here, known = Scene(root), METHODS[method].options.model_fields
    run = here.run(method, 1, {name: value for name, value in QUICK.items() if name in known})
    return [run.adapter, here.evaluate([run], **config)]


def contents(artifact: Artifact) -> dict[str, object]:
    """What its files say, tables by their rows."""
    files = {str(path.relative_to(artifact.path)): path for path in artifact.path.rglob("*") if path.is_file()}
    return {
        name: read_table([path]).to_pylist() if path.suffix == ".parquet" else path.read_bytes()
        for name, path in files.items()
        if path.suffix in (".parquet", ".safetensors", ".faiss")
    }


@pytest.mark.parametrize("method", METHODS)
def test_every_method_comes_to_what_it_does_on_the_cpu(method: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    expected = results(tmp_path / "cpu", method)
    request.getfixturevalue("gpu")
    for found, plain in zip(results(tmp_path / "gpu", method), expected, strict=True):
        assert contents(found) == contents(plain)
        assert len(contents(found)) > 0


@pytest.mark.parametrize("method", ["zero-shot", "tip-adapter", "xmadapter"])
def test_a_support_that_is_judged_out_of_sample_is_judged_alike(method: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """With nothing left over beside it, folds of the support calibrate and are kept."""
    expected = scene(tmp_path / "cpu", train_counts=4, val=0).train(method)
    request.getfixturevalue("gpu")
    found = scene(tmp_path / "gpu", train_counts=4, val=0).train(method)
    assert contents(found) == contents(expected)
    assert found.summary["calibration"] == expected.summary["calibration"]
    assert found.summary["kept"] == expected.summary["kept"]


def test_keys_that_an_index_finds_are_scored_there_too(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    expected = results(tmp_path / "cpu", "tip-adapter", top_k=5)[1]
    request.getfixturevalue("gpu")
    assert contents(results(tmp_path / "gpu", "tip-adapter", top_k=5)[1]) == contents(expected)


def test_what_is_left_behind_is_refused_as_by_a_gpu(gpu: str) -> None:
    there, here = torch.ones(2, 2, device=gpu), torch.ones(2)
    with pytest.raises(RuntimeError, match=REFUSED):
        there @ here
    with pytest.raises(RuntimeError, match="numpy"):
        there.numpy()
    assert (there @ here.to(gpu)).cpu().tolist() == [2.0, 2.0]
    assert (there * 3).sum().item() == 12.0
