"""Names of models, and of weights for them."""

from __future__ import annotations

import pytest

from xmap.stages.config import EncoderConfig
from xmap.stages.encoder.names import said_of_weights


@pytest.mark.parametrize(
    ("model", "pretrained", "said"),
    [("xmap-tiny", "laion2b", True), ("local-dir:x", "w.pt", True), ("hf-hub:a/b", "laion2b", True), ("xmap-tiny", "openai", False),
     ("xmap-tiny", "", False), ("ViT-B-32", "laion2b", False)],
)  # fmt: skip
def test_weights_named_for_a_model_with_its_own_are_said_not_to_be_used(model: str, pretrained: str, said: bool) -> None:
    lines = said_of_weights(EncoderConfig(model=model, pretrained=pretrained))
    assert lines == ((f"model {model!r} has weights of its own: --pretrained {pretrained!r} is not used",) if said else ())
