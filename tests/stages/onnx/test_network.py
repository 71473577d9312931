"""An adapter of every method as an ONNX file says what torch says, for any number of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.worlds.onnx_files import OnnxWorld, onnx_world, pictures
from xmap.stages.adapters.neighbors import key_affinity
from xmap.stages.adapters.scorer import Scorer
from xmap.stages.fewshot.cache import OpenCache
from xmap.stages.methods.registry import METHODS
from xmap.stages.onnx.check import require_agreement
from xmap.stages.onnx.form import ALWAYS, FILE
from xmap.stages.onnx.session import Session
from xmap.stages.predict.prediction import NEIGHBORS


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> OnnxWorld:
    return onnx_world(tmp_path_factory.mktemp("onnx"))


@pytest.mark.thorough
@pytest.mark.parametrize("method", METHODS)
def test_the_file_says_what_the_scorer_says(world: OnnxWorld, method: str, tmp_path: Path) -> None:
    run = world.run(method)
    network = world.write(run, tmp_path)
    assert require_agreement(network, tmp_path) < 1e-4
    session, scorer = Session((tmp_path / FILE).read_bytes(), tmp_path), Scorer(run.adapter, OpenCache(run.cache, run.texts))
    for count in (1, 2, 7):
        pixels = pictures(count, seed=count)
        found = session.run(pixels)
        assert set(ALWAYS) <= found.keys()
        batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255.0
        features = torch.nn.functional.normalize(torch.from_numpy(world.encoder.encode_images((batch - 0.5) / 0.25)), dim=-1)
        scores = scorer.scores(features)
        close(found["probabilities"], scorer.probabilities(scores.logits))
        close(found["zero_shot"], scorer.cache.text.logits(features).softmax(1))
        close(found["strangeness"], scorer.strangeness(features, scores.logits))
        sides = {"affinity_image": scores.image, "affinity_text": scores.text, "gamma": scores.gamma}
        for name, side in sides.items():
            assert (side is None) == (name not in found)
            if side is not None:
                close(found[name], side.expand(found[name].shape))
        near = scorer.neighbors(features, NEIGHBORS)
        close(found["affinities"], torch.from_numpy(key_affinity(near, scorer.fitted.settings)))
        assert np.array_equal(found["neighbors"], near.rows)


def close(found: np.ndarray, expected: torch.Tensor) -> None:
    assert np.abs(found - expected.numpy()).max() < 1e-4 * max(1.0, float(expected.abs().max()))
