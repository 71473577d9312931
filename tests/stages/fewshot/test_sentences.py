"""The sentences that describe classes, as methods are handed them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from tests.worlds.few_shot import SCALE, World
from xmap.stages.fewshot.load import load_text
from xmap.store.artifacts.artifact import Draft
from xmap.store.artifacts.identity import Identity
from xmap.store.formats.features import TextFeatures, write_texts


def test_where_classes_are_described_texts_know_each_sentence(tmp_path: Path) -> None:
    world = World(tmp_path, classes=2, width=3)
    features = np.array([[0, 2, 0], [3, 0, 0], [0, 0, 4], [1, 0, 0]], np.float32)
    rows = TextFeatures(np.array([1, 0, 1, 0], np.int32), ("b", "a", "b", "a"), ("a {}.", "a {}.", "Big.", "Small."), features)
    with world.store.build(Identity("texts", "toy", {})) as held:
        assert isinstance(held, Draft)
        write_texts(held.path / "texts.parquet", rows, "f")
        described = held.commit({"classes": ["a", "b"], "logit_scale": SCALE, "sentences": 2})
    text = load_text(described)
    assert text.sentences is not None
    assert text.sentence_classes is not None
    assert text.sentence_classes.tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(text.sentences.numpy(), [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    moved = text.to("cpu")
    assert moved.sentences is not None
    assert torch.equal(moved.sentences, text.sentences)
    assert load_text(world.texts()).sentences is None
