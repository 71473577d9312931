"""Context vectors through real open_clip text towers: all kinds, all poolings, exact gradients."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.worlds.models import MODEL, write_model
from xmap.stages.config import EncoderConfig
from xmap.stages.encoder import text_tower
from xmap.stages.encoder.identity import resolve
from xmap.stages.encoder.model import Encoder
from xmap.stages.encoder.text_tower import TextTower
from xmap.store.errors import InputError
from xmap.store.memory.notes import Notes

NAMES = ["cat", "striped dog", "a very long name of a bird"]
KINDS: dict[str, dict[str, Any]] = {
    "clip": {},
    "custom": {"custom_text": True},
    "custom, bidirectional": {"custom_text": True, "text_cfg": {"no_causal_mask": True, "pool_type": "first"}},
    "eos": {"text_cfg": {"pool_type": "eos", "eos_id": 49407}},
    "custom, last token": {"custom_text": True, "text_cfg": {"pool_type": "last"}},
    "class embedding": {"custom_text": True, "text_cfg": {"embed_cls": True}},
}


def encoder(folder: Path, kind: str = "clip") -> Encoder:
    changes = KINDS[kind]
    model = {**deepcopy(MODEL), **changes, "text_cfg": {**MODEL["text_cfg"], **changes.get("text_cfg", {})}}
    written = write_model(folder / "model", model=model)
    identity = resolve(EncoderConfig(model=f"local-dir:{written}"), Notes(folder / "hashes.sqlite"), folder / "records")
    return Encoder.load(identity, "cpu")


@pytest.mark.parametrize("kind", KINDS)
def test_the_embeddings_of_words_give_the_features_of_the_prompt(tmp_path: Path, kind: str) -> None:
    model = encoder(tmp_path, kind)
    whole = model.encode_texts([f"a photo of a {name}." for name in NAMES])
    tower = model.text_tower()
    context = tower.words("a photo of a")
    assert context.shape == (4, 32)
    found = tower.features(tower.prompts([f"{name}." for name in NAMES], 4), context)
    np.testing.assert_allclose(found.numpy(), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_finite_differences(tmp_path: Path, kind: str) -> None:
    tower = encoder(tmp_path, kind).text_tower()
    prompts = tower.prompts([f"{name}." for name in NAMES], 3)
    draw = torch.Generator().manual_seed(1)
    weights = torch.randn(len(NAMES), 32, generator=draw)
    direction = torch.randn(3, tower.width, generator=draw)
    context = (0.3 * torch.randn(3, tower.width, generator=draw)).requires_grad_()

    def value(at: torch.Tensor) -> torch.Tensor:
        return (tower.features(prompts, at) * weights).sum()

    value(context).backward()
    assert context.grad is not None
    step = 1e-2
    with torch.no_grad():
        slope = (value(context + step * direction) - value(context - step * direction)) / (2 * step)
    assert float((context.grad * direction).sum()) == pytest.approx(float(slope), rel=2e-2)


def test_the_towers_own_weights_stay_frozen(tmp_path: Path) -> None:
    model = encoder(tmp_path)
    before = {name: tensor.clone() for name, tensor in model._model.state_dict().items()}
    tower = model.text_tower()
    context = torch.zeros(2, tower.width, requires_grad=True)
    tower.features(tower.prompts(NAMES, 2), context).sum().backward()
    assert all(weight.grad is None for weight in model._model.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in model._model.state_dict().items())


def test_pieces_that_are_computed_again_give_the_same_gradient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tower = encoder(tmp_path).text_tower()
    prompts = tower.prompts([f"{name}." for name in NAMES], 2)
    start = 0.1 * torch.randn(2, tower.width, generator=torch.Generator().manual_seed(3))

    def run() -> tuple[torch.Tensor, torch.Tensor]:
        context = start.clone().requires_grad_()
        features = tower.features(prompts, context)
        features.square().sum().backward()
        assert context.grad is not None
        return features.detach(), context.grad

    whole = run()
    monkeypatch.setattr(text_tower, "CHUNK", 2)
    for one, other in zip(whole, run(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_a_context_that_does_not_fit_says_what_would(tmp_path: Path) -> None:
    tower = encoder(tmp_path).text_tower()
    with pytest.raises(InputError, match=r"--context 12 or fewer"):
        tower.prompts(["cat.", "dog."], 13)
    assert tower.prompts(["cat.", "dog."], 12).ids.shape == (2, 16)
    with pytest.raises(InputError, match="--text prompts"):
        tower.prompts(["word " * 20], 1)


def test_no_words_are_no_vectors(tmp_path: Path) -> None:
    assert encoder(tmp_path).text_tower().words("").shape == (0, 32)


def test_a_tower_without_token_embeddings_is_refused() -> None:
    with pytest.raises(InputError, match="--text prompts"):
        TextTower(torch.nn.Linear(2, 2), lambda texts, context_length: torch.zeros(2, 4), 4, "odd", "cpu")
