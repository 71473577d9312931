"""The sentences that describe classes, as methods are handed them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from tests.worlds.few_shot import SCALE, World, random_support, unit
from xmap.stages.fewshot.load import load_text
from xmap.stages.fewshot.task import FewShotTask, Support, Text
from xmap.stages.methods import zero_shot
from xmap.stages.methods.options import ZeroShotOptions
from xmap.stages.methods.protocol import Cache, NoLog
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


def slow(sentences: np.ndarray, classes: np.ndarray, scale: float, keys: np.ndarray, labels: np.ndarray, total: int) -> np.ndarray:
    """The weights of sentences, one by one."""
    counts = np.bincount(labels, minlength=total)
    means = {label: unit(keys[labels == label].mean(0)) for label in range(total) if counts[label]}
    weights = np.zeros(len(sentences))
    for label in range(total):
        mine, trust = np.flatnonzero(classes == label), counts[label] / (counts[label] + 1.0)
        common = [np.mean([means[other] @ sentences[row] for other in means]) for row in mine]
        own = [means[label] @ sentences[row] if label in means else 0.0 for row in mine]
        shares = np.exp([0.4 * scale * trust * (one - 0.5 * other) for one, other in zip(own, common, strict=True)])
        weights[mine] = shares / shares.sum()
    return weights


def described(counts: list[int], each: list[int], seed: int = 0, width: int = 6) -> tuple[Text, Support]:
    """A support, and texts of `each` so many sentences a class."""
    random = np.random.default_rng(seed)
    classes = np.repeat(np.arange(len(each)), each)
    sentences = unit(random.normal(size=(len(classes), width))).astype(np.float32)
    means = unit(np.stack([sentences[classes == label].astype(np.float64).sum(0) for label in range(len(each))])).astype(np.float32)
    names = tuple(map(str, range(len(each))))
    text = Text(names, torch.from_numpy(means), 50.0, torch.from_numpy(sentences), torch.from_numpy(classes))
    return text, random_support(counts, width, random, views=2)


def test_weights_are_those_of_the_slow_version_and_make_the_texts() -> None:
    text, support = described([2, 1, 0], [3, 2, 2])
    guided = text.guided([support.keys[:2], support.keys[2:]], support.labels, support.segments.counts)
    assert (text.sentences is not None, text.sentence_classes is not None, guided.sentence_weights is not None) == (True,) * 3
    sentences, classes = text.sentences.double().numpy(), text.sentence_classes.numpy()
    expected = slow(sentences, classes, 50.0, support.keys.double().numpy(), support.labels.numpy(), 3)
    np.testing.assert_allclose(guided.sentence_weights.numpy(), expected, rtol=1e-9)
    texts = [unit((expected[classes == label, None] * sentences[classes == label]).sum(0)) for label in range(2)]
    np.testing.assert_allclose(guided.weights[:2].numpy(), texts, atol=1e-6)
    assert torch.equal(guided.weights[2], text.weights[2]), "a class without an image keeps the mean of its sentences"
    assert torch.equal(guided.unguided.weights, text.weights)
    assert guided.unguided.sentence_weights is None


def test_more_images_guide_more_and_one_sentence_keeps_every_bit() -> None:
    text, _ = described([1], [4])
    image = torch.nn.functional.normalize(torch.ones(1, 6), dim=-1)
    spread = [
        text.guided([image.repeat(count, 1)], torch.zeros(count).long(), torch.tensor([float(count)])).sentence_weights.max()
        for count in (1, 2, 4, 16)
    ]
    assert all(fewer < more for fewer, more in pairwise(spread))
    single, support = described([3, 2], [1, 1])
    guided = single.guided([support.keys], support.labels, support.segments.counts)
    assert torch.equal(guided.weights, single.weights)
    plain = Text(single.names, single.weights, single.logit_scale)
    assert plain.guided([support.keys], support.labels, support.segments.counts) is plain


def test_what_is_held_out_has_no_say_in_the_texts() -> None:
    text, support = described([4, 4], [3, 3])
    guided = text.guided([support.keys], support.labels, support.segments.counts)
    task = FewShotTask(guided, support, None, 0, "nothing")
    fold = task.fold(torch.tensor([0, 5]))
    rest = support.take(torch.tensor([1, 2, 3, 4, 6, 7]))
    assert torch.equal(fold.text.weights, text.guided([rest.keys], rest.labels, rest.segments.counts).weights)
    assert not torch.equal(fold.text.weights, guided.weights)
    asked = torch.nn.functional.normalize(torch.rand(3, 6), dim=-1)
    fitted = zero_shot.fit(task, ZeroShotOptions(), None, NoLog())
    said = [zero_shot.scores(fitted, Cache.of(one), asked).logits for one in (task, fold)]
    assert torch.equal(*said), "zero-shot learns from no image"
