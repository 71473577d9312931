"""GDA-CLIP against NumPy, with many views, uneven shots and single shots."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.worlds.few_shot import SCALE
from tests.worlds.small_task import close, double, queries, small_task, unit
from xmap.stages.methods import gda
from xmap.stages.methods.options import GdaOptions
from xmap.stages.methods.protocol import Cache, NoLog


@pytest.mark.parametrize(("counts", "views"), [([3, 3, 3], 1), ([3, 1, 2], 4), ([1, 1], 3)])
def test_logits_are_the_published_ones(counts: list[int], views: int) -> None:
    task = small_task(counts, views=views)
    rows = unit(double(task.support.views)).reshape(-1, 6)
    labels = np.repeat(task.support.labels.numpy(), views)
    means = np.stack([rows[labels == label].mean(axis=0) for label in range(len(counts))])
    centred = np.concatenate([rows[labels == label] - means[label] for label in range(len(counts))])
    covariance = np.cov(centred.T)
    precision = 6 * np.linalg.pinv((len(centred) - 1) * covariance + np.trace(covariance) * np.eye(6))
    weights, bias = np.zeros_like(means), np.zeros(len(counts))
    for label, mean in enumerate(means):
        weights[label] = precision @ mean
        bias[label] = np.log(1 / len(counts)) - mean @ precision @ mean / 2
    fitted = gda.fit(task, GdaOptions(), {"alpha": 0.3}, NoLog())
    asked = queries(task)
    features = double(asked.features)
    expected = SCALE * features @ double(task.text.weights).T + 0.3 * (features @ weights.T + bias)
    close(gda.scores(fitted, Cache(task.text, task.support.segments), asked.features).logits, expected)


@pytest.mark.parametrize("counts", [[1, 1, 1], [1], [1, 0]])
def test_one_view_of_one_shot_still_has_a_covariance(counts: list[int]) -> None:
    found = gda.discriminant(small_task(counts).support)
    assert all(torch.isfinite(tensor).all() for tensor in found.values())
    assert float(found["weights"].abs().max()) < 1e3


def test_a_class_without_support_gets_no_evidence() -> None:
    task = small_task([2, 0, 3])
    evidence = gda.evidence(gda.discriminant(task.support), queries(task).features)
    assert torch.allclose(evidence[:, 1], evidence[:, [0, 2]].mean(1), rtol=1e-4)
