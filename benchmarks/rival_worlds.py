"""What methods are judged on: draws of a task, and of rows that chose nothing of it. No test split is opened.

Of Caltech's 69 classes and ImageNet's 1,000, as they are; and harsher: supports drawn anew, labels that are wrong, texts of other classes,
and images seen through noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.calibration import Data, taken
from xmap.stages.fewshot.draw import VALIDATION_SHOTS
from xmap.stages.fewshot.split_index import SplitIndex
from xmap.stages.fewshot.task import FewShotTask, Labelled, Support

CALTECH, IMAGENET = "caltech69-b32", "imagenet-b32-4shot"
DRAWS = (1, 2, 3)
SUBSETS, SUBSET_SHOTS, SUBSET_SIZE, SUBSET_SEED = 20, (1, 2), 20, 5
FOLD_SHOTS, FOLDS = (1, 3), 4
HARSH_SHOTS, HARSH_DRAWS, WRONG = (1, 2, 4), range(1, 7), 0.2


@dataclass(frozen=True)
class Draw:
    """What methods are handed, and the rows they are judged by, which chose nothing."""

    shots: int
    task: FewShotTask
    kept: Labelled


def apart(validation: Labelled, shots: int, seed: int) -> tuple[Labelled, Labelled]:
    """The validation rows that may choose settings, as a training draws them, and the rest."""
    index = SplitIndex(validation.sample_ids, validation.labels.numpy().astype(np.int32), validation.sample_ids)
    named = set(index.few(min(shots, VALIDATION_SHOTS), seed).sample_ids)
    chosen = torch.tensor([one in named for one in validation.sample_ids])
    return taken(validation, torch.nonzero(chosen)[:, 0]), taken(validation, torch.nonzero(~chosen)[:, 0])


def caltech(folder: Path) -> Iterator[Draw]:
    """All 69 classes, every number of shots."""
    data = Data(folder / CALTECH)
    for shots in data.shots:
        for seed in DRAWS:
            few, rest = apart(data.validation, shots, seed)
            yield Draw(shots, FewShotTask(data.text, data.support(shots), few, seed, "validation"), rest)


def subsets(folder: Path) -> Iterator[Draw]:
    """Twenty random classes at a time, at one and two shots."""
    data = Data(folder / CALTECH)
    random = np.random.default_rng(SUBSET_SEED)
    chosen = [torch.from_numpy(np.sort(random.permutation(data.text.classes)[:SUBSET_SIZE])) for _ in range(SUBSETS)]
    for shots in SUBSET_SHOTS:
        for seed, classes in enumerate(chosen, 1):
            few, rest = apart(of_classes(data.validation, classes), shots, seed)
            support = data.support(shots)
            drawn = of_classes(Labelled(support.sample_ids, support.labels, support.views), classes)
            support = Support.of(drawn.sample_ids, drawn.labels, drawn.features, shots, len(classes))
            yield Draw(shots, FewShotTask(data.text.take(classes), support, few, seed, "validation"), rest)


def imagenet(folder: Path) -> Iterator[Draw]:
    """A thousand classes: each support image of a class is kept back in turn, and one or three of the others are the support."""
    data = Data(folder / IMAGENET)
    support = data.support(FOLDS)
    place = torch.arange(len(support)) % FOLDS
    for shots in FOLD_SHOTS:
        for fold in range(FOLDS):
            given = torch.isin(place, torch.tensor([(fold + 1 + step) % FOLDS for step in range(shots)]))
            few = replace(support.take(torch.nonzero(given)[:, 0]), shots=shots)
            yield Draw(shots, FewShotTask(data.text, few, None, 1, "none"), support.plain(torch.nonzero(place == fold)[:, 0]))


def of_classes(samples: Labelled, classes: Tensor) -> Labelled:
    """The samples of some sorted classes, which are numbered anew."""
    few = taken(samples, torch.nonzero(torch.isin(samples.labels, classes))[:, 0])
    return Labelled(few.sample_ids, torch.searchsorted(classes, few.labels), few.features)


def anew(folder: Path) -> Iterator[Draw]:
    """Supports that are drawn from the validation rows, as are those that choose settings; the others judge."""
    data = Data(folder / CALTECH)
    rows = data.validation
    for shots in HARSH_SHOTS:
        for seed in HARSH_DRAWS:
            order = torch.from_numpy(np.random.default_rng([seed, shots]).permutation(len(rows)))
            place = torch.stack([(rows.labels[order[:at]] == rows.labels[row]).sum() for at, row in enumerate(order.tolist())])
            few, chosen = order[place < shots], (place >= shots) & (place < shots + min(shots, VALIDATION_SHOTS))
            given = taken(rows, few)
            support = Support.of(given.sample_ids, given.labels, given.features[:, None], shots, data.text.classes)
            task = FewShotTask(data.text, support, taken(rows, order[chosen].sort().values), seed, "validation")
            yield Draw(shots, task, taken(rows, order[place >= shots + min(shots, VALIDATION_SHOTS)].sort().values))


def wrong_labels(folder: Path) -> Iterator[Draw]:
    """The same, a fifth of the support's labels passed round among themselves."""
    for draw in anew(folder):
        support = draw.task.support
        rows = np.random.default_rng(draw.task.seed).permutation(len(support))[: int(WRONG * len(support))]
        labels = support.labels.clone()
        labels[rows] = support.labels[np.roll(rows, 1)]
        given = Support.of(support.sample_ids, labels, support.views, draw.shots, support.classes)
        yield replace(draw, task=replace(draw.task, support=given))


def wrong_texts(folder: Path) -> Iterator[Draw]:
    """The same, a fifth of the classes with the text of an ImageNet class in place of their own."""
    others = Data(folder / IMAGENET).text.weights
    for draw in anew(folder):
        random, weights = np.random.default_rng(draw.task.seed), draw.task.text.weights.clone()
        rows = random.permutation(len(weights))[: int(WRONG * len(weights))]
        weights[rows] = others[random.permutation(len(others))[: len(rows)]]
        yield replace(draw, task=replace(draw.task, text=replace(draw.task.text, weights=weights)))


def noisy(folder: Path) -> Iterator[Draw]:
    """The same, with noise as long as the feature added to every image's."""
    for draw in anew(folder):
        generator = torch.Generator().manual_seed(draw.task.seed)
        support, chosen = draw.task.support, draw.task.validation
        seen = replace(support, views=blurred(support.views, generator))
        validation = chosen and replace(chosen, features=blurred(chosen.features, generator))
        kept = replace(draw.kept, features=blurred(draw.kept.features, generator))
        yield Draw(draw.shots, replace(draw.task, support=seen, validation=validation), kept)


def blurred(features: Tensor, generator: torch.Generator) -> Tensor:
    """Unit features with noise of the same expected length added, unit again."""
    return normalize(features + torch.randn(features.shape, generator=generator) / features.shape[-1] ** 0.5, dim=-1)


@dataclass(frozen=True)
class World:
    """A set of draws, and in words what is drawn."""

    title: str
    words: str
    draws: Callable[[Path], Iterator[Draw]]


AGAIN = f"{len(HARSH_DRAWS)} supports drawn from Caltech's validation rows, as are those that choose; judged by the others"

WORLDS: Mapping[str, World] = {
    "caltech": World(
        "Rivals: Caltech, 69 classes",
        f"{len(DRAWS)} draws of the validation rows that choose settings, min(K, {VALIDATION_SHOTS}) a class; judged by the other rows.",
        caltech,
    ),
    "subsets": World(
        "Rivals: Caltech, 20 classes at a time",
        f"{SUBSETS} random subsets of {SUBSET_SIZE} classes, support and validation cut to them; judged by rows that chose nothing.",
        subsets,
    ),
    "imagenet": World(
        "Rivals: ImageNet, 1,000 classes",
        f"{FOLDS} folds of the support of {FOLDS} a class: one image a class is kept back and judges; without validation rows.",
        imagenet,
    ),
    "anew": World("Rivals: supports drawn anew", f"{AGAIN}.", anew),
    "wrong-labels": World("Rivals: wrong labels", f"{AGAIN}; {WRONG:.0%} of the support's labels are wrong.", wrong_labels),
    "wrong-texts": World("Rivals: wrong texts", f"{AGAIN}; {WRONG:.0%} of the classes bear the text of another.", wrong_texts),
    "noisy": World("Rivals: noisy features", f"{AGAIN}; to each image's feature noise as long as it is added.", noisy),
}
