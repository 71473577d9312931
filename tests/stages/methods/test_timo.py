"""TIMO against NumPy: sentences weighed by the images of their class, and the discriminant of both, sentence by sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.worlds.few_shot import SCALE
from tests.worlds.small_task import WIDTH, Array, close, double, queries, small_task, softmax, unit
from xmap.stages.fewshot.task import FewShotTask, Support
from xmap.stages.methods import gda, timo
from xmap.stages.methods.options import GdaOptions, TimoOptions
from xmap.stages.methods.protocol import Cache, NoLog

ORDER = (2, 0, 1)


def described(counts: Sequence[int], sentences: Sequence[int], views: int = 1, validation: bool = False) -> FewShotTask:
    """A small task whose class c has `sentences[c]` sentences."""
    task, random = small_task(counts, views=views, validation=validation), np.random.default_rng(7)
    classes = np.repeat(np.arange(len(counts)), sentences)
    vectors = unit(double(task.text.weights)[classes] + 0.7 * random.normal(size=(len(classes), WIDTH))).astype(np.float32)
    text = replace(task.text, sentences=torch.from_numpy(vectors), sentence_classes=torch.from_numpy(classes))
    return replace(task, text=text)


def expected(task: FewShotTask, features: Array, guidance: float, share: float, alpha: float) -> Array:
    """The logits, by a list of vectors for each class."""
    support, labels, texts = task.support, task.support.labels.numpy(), double(task.text.weights)
    keys, views = double(support.keys), unit(double(support.views))
    sentences, classes = (texts, np.arange(len(texts))) if task.text.sentences is None else (double(task.text.sentences), None)
    classes = task.text.sentence_classes.numpy() if task.text.sentence_classes is not None else classes
    guided, groups = np.zeros_like(texts), {}
    for label in range(len(texts)):
        own = sentences[classes == label]
        if label not in labels:
            guided[label] = unit(own.mean(axis=0)[None])[0]
            continue
        matched = own @ unit(keys[labels == label].mean(axis=0)[None])[0]
        shares = softmax((guidance * matched / np.linalg.norm(matched))[None])[0]
        guided[label] = unit((shares @ own)[None])[0]
        best = sorted(range(len(own)), key=lambda one: -matched[one])
        wanted = max(1, round(share * len(own)))
        joined = [matched[one] * own[one] for one in (best * 9)[:wanted]]
        groups[label] = np.asarray([*joined, *views[labels == label].reshape(-1, WIDTH)])
    means = {label: group.mean(axis=0) for label, group in groups.items()}
    around = np.concatenate([group - means[label] for label, group in groups.items()])
    spread = around.T @ around / (len(around) - 1)
    precision = WIDTH * np.linalg.inv((len(around) - 1) * spread + np.trace(spread) * np.eye(WIDTH))
    weights = {label: precision @ mean for label, mean in means.items()}
    biases = {label: -np.log(len(texts)) - mean @ precision @ mean / 2 for label, mean in means.items()}
    logits = SCALE * features @ guided.T
    for label in range(len(texts)):
        weight = weights.get(label, np.mean(list(weights.values()), axis=0))
        logits[:, label] += alpha * (features @ weight + biases.get(label, np.mean(list(biases.values()))))
    return logits


@pytest.mark.parametrize(("counts", "views"), [([3, 3, 3], 1), ([3, 1, 2], 2), ([2, 0, 3], 1)])
@pytest.mark.parametrize(("guidance", "share"), [(0.0, 0.3), (5.0, 1.0), (50.0, 2.0)])
def test_logits_are_those_of_the_formula(counts: list[int], views: int, guidance: float, share: float) -> None:
    task = described(counts, [4, 2, 7], views)
    fitted = timo.fit(task, TimoOptions(), {"guidance": guidance, "sentences": share, "alpha": 0.2}, NoLog())
    asked = queries(task)
    found = timo.scores(fitted, Cache(task.text, task.support.segments), asked.features).logits
    close(found, expected(task, double(asked.features), guidance, share, 0.2), 1e-4)


def test_without_descriptions_the_class_text_is_the_one_sentence() -> None:
    task = small_task([3, 1, 2], views=2)
    fitted = timo.fit(task, TimoOptions(), None, NoLog())
    close(fitted.tensors["guided"], double(task.text.weights))
    asked = queries(task)
    found = timo.scores(fitted, Cache(task.text, task.support.segments), asked.features).logits
    close(found, expected(task, double(asked.features), 50.0, 1.0, float(fitted.settings["alpha"])), 1e-4)


def test_guidance_leans_on_the_sentence_that_matches_best() -> None:
    task = described([2, 2, 2], [5, 5, 5])
    matched = timo.matches(task)
    even, best = timo.guided_texts(task, matched, 0.0), timo.guided_texts(task, matched, 100.0)
    assert task.text.sentences is not None
    rows = matched.reshape(3, 5).argmax(1) + torch.arange(0, 15, 5)
    near = task.text.sentences[rows]
    assert bool(((best * near).sum(1) > (even * near).sum(1)).all())
    close(even, unit(double(task.text.sentences).reshape(3, 5, WIDTH).mean(axis=1)))


@pytest.mark.parametrize("validation", [False, True])
def test_classes_in_another_order_have_the_same_logits(validation: bool) -> None:
    task = described([3, 1, 2], [4, 2, 7], 2, validation)
    place, taken, support = torch.from_numpy(np.argsort(ORDER)), torch.tensor(ORDER), task.support
    moved = Support.of(support.sample_ids, place[support.labels], support.views, support.shots, 3)
    held = task.validation and replace(task.validation, labels=place[task.validation.labels])
    other = replace(task, text=task.text.take(taken), support=moved, validation=held)
    asked, found = queries(task).features, []
    for one in (task, other):
        fitted = timo.fit(one, TimoOptions(), None, NoLog())
        found.append(timo.scores(fitted, Cache(one.text, one.support.segments), asked).logits)
    close(found[1], double(found[0][:, taken]), 1e-3)


def test_the_discriminant_of_images_alone_is_that_of_gda() -> None:
    task = small_task([3, 1, 2], views=3)
    vectors, labels = gda.views_of(task.support)
    alone = gda.discriminant_of(vectors, labels, 3)
    fitted = gda.fit(task, GdaOptions(), None, NoLog())
    assert all(torch.equal(alone[name], tensor) for name, tensor in fitted.tensors.items())
