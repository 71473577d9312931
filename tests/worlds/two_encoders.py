"""Small worlds that several encoders see: the classes of the first one's texts are in the second's features too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch.nn.functional import normalize

from xmap.stages.fewshot.task import FewShotTask, Labelled, Text
from xmap.store.formats import arrays
from xmap.testing import random_support

FIRST, SECOND = 8, 6


def side_by_side(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """The features of several encoders as the wide rows that the store gives."""
    return torch.from_numpy(arrays.side_by_side([part.numpy() for part in parts]))


def seen_twice(shots: int, classes: int = 8, spread: float = 0.3, seed: int = 0) -> FewShotTask:
    """A task of two encoders without texts for the second, whose classes lie where the first one's texts say, and validation samples."""
    random = np.random.default_rng(seed)
    texts = normalize(torch.from_numpy(random.normal(size=(classes, FIRST))), dim=-1)
    turn = torch.from_numpy(random.normal(size=(FIRST, SECOND)))
    centers = (texts, texts @ turn)

    def features(labels: torch.Tensor) -> list[torch.Tensor]:
        common = torch.from_numpy(random.normal(size=(len(labels), FIRST)))
        noise = (common, common @ turn + torch.from_numpy(random.normal(size=(len(labels), SECOND))))
        pairs = zip(centers, noise, strict=True)
        return [normalize(center[labels] + spread * beside, dim=-1).float() for center, beside in pairs]

    support, asked = random_support([shots] * classes, FIRST, random), torch.from_numpy(random.integers(0, classes, 40))
    views = torch.cat(features(support.labels), 1)[:, None]
    held = Labelled(tuple(f"held {row}" for row in range(len(asked))), asked, side_by_side(features(asked)))
    text = Text(tuple(map(str, range(classes))), texts.float(), 10.0)
    return FewShotTask(text, replace(support, views=views), held, 1, "validation", widths=(FIRST, SECOND), more_texts=(None,))


def with_encoders(task: FewShotTask, order: tuple[int, ...], texts: tuple[Text | None, ...] = ()) -> FewShotTask:
    """The same images by encoders of the task in another order, some of them again."""
    assert task.validation is not None
    parts = [task.support.part(task.widths, encoder).views for encoder in order]
    held = side_by_side([task.validation.part(task.widths, encoder).features for encoder in order])
    support, widths = replace(task.support, views=torch.cat(parts, -1)), tuple(task.widths[encoder] for encoder in order)
    more = texts or (None,) * (len(order) - 1)
    return replace(task, support=support, validation=replace(task.validation, features=held), widths=widths, more_texts=more)


def shuffled(task: FewShotTask) -> FewShotTask:
    """The same task with the rows of the second encoder in another order: it knows nothing of the images that it is said to see."""
    assert task.validation is not None
    random, widths = np.random.default_rng(5), task.widths
    first, second = (task.support.part(widths, encoder).views for encoder in (0, 1))
    held = [task.validation.part(widths, encoder).features for encoder in (0, 1)]
    views = torch.cat([first, second[torch.from_numpy(random.permutation(len(second)))]], -1)
    asked = side_by_side([held[0], held[1][torch.from_numpy(random.permutation(len(held[1])))]])
    return replace(task, support=replace(task.support, views=views), validation=replace(task.validation, features=asked))


def alone(task: FewShotTask) -> FewShotTask:
    """The task of the first encoder by itself."""
    return task.part(0)
