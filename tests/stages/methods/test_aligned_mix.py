"""Text-aligned mixed prototypes against NumPy: the projection, the share of the image prototypes, and the discriminant beside them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.worlds.few_shot import SCALE
from tests.worlds.small_task import Array, close, double, queries, small_task, unit
from xmap.stages.methods import aligned_mix, gda
from xmap.stages.methods.options import AlignedMixOptions
from xmap.stages.methods.protocol import Cache, NoLog


def directions(texts: Array, energy: float) -> Array:
    """The principal directions by eigenvectors of the texts' second moments."""
    values, vectors = np.linalg.eigh(texts.T @ texts)
    order = np.argsort(-values)
    held, count = 0.0, 0
    while held < energy * values.sum() - 1e-9:
        held, count = held + values[order[count]], count + 1
    return vectors[:, order[:count]]


@pytest.mark.parametrize(("counts", "energy"), [([3, 3, 3], 0.6), ([3, 1, 2], 0.9), ([4, 2, 0], 1.0)])
def test_logits_are_those_of_the_formula(counts: list[int], energy: float) -> None:
    task = small_task(counts)
    keys, labels, texts = double(task.support.keys), task.support.labels.numpy(), double(task.text.weights)
    span = directions(texts, energy)
    seen = [label for label in range(3) if counts[label]]
    means = {label: keys[labels == label].mean(axis=0) for label in seen}
    weights = texts.copy()
    for label in seen:
        share = counts[label] * 0.7 / (1 + counts[label] * 0.7)
        weights[label] = unit(((1 - share) * texts[label] + share * unit((span @ span.T @ means[label])[None])[0])[None])[0]
    fitted = aligned_mix.fit(task, AlignedMixOptions(), {"energy": energy, "worth": 0.7, "alpha": 0.3}, NoLog())
    asked = queries(task)
    own = double(gda.evidence(gda.discriminant(task.support), asked.features))
    found = aligned_mix.scores(fitted, Cache(task.text, task.support.segments), asked.features).logits
    close(found, SCALE * double(asked.features) @ weights.T + 0.3 * own)


def test_of_texts_on_fewer_directions_than_classes_no_rounding_is_kept() -> None:
    texts = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.6, 0.8, 0.0, 0.0]], dtype=torch.float64)
    kept = aligned_mix.principal_directions(texts, 1.0)
    assert kept.shape == (2, 4)
    assert torch.allclose(kept.T @ kept, torch.diag(torch.tensor([1.0, 1.0, 0.0, 0.0], dtype=torch.float64)), atol=1e-9)


def test_one_shot_worth_one_takes_half_of_each() -> None:
    task = small_task([1, 1, 1])
    keys, texts = double(task.support.keys), double(task.text.weights)
    span = directions(texts, 1.0)
    close(aligned_mix.mixed_prototypes(task, 1.0, 1.0), unit(texts + unit(keys @ span @ span.T)))
