"""Fitting vectors in memory: texts that are class means know nothing of what is held out, and their scale fits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.worlds.few_shot import unit
from xmap.stages.train.in_memory import LearnSpec, MeansTask, learn, units_of
from xmap.stages.train.in_memory import _samples as samples_of
from xmap.stages.train.in_memory import _task as task_of
from xmap.store.errors import InputError

Vectors = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def world() -> Vectors:
    """Four clusters of 30 unit vectors in 8 dimensions."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 30)
    return unit(random.normal(size=(4, 8))[labels] + 0.5 * random.normal(size=(120, 8))).astype(np.float32), labels


def test_the_means_of_a_fold_are_those_of_the_rest(world: Vectors) -> None:
    vectors, labels = world
    task, beside = task_of(samples_of(vectors, labels, 4), None, LearnSpec("gda", None, 1))
    assert isinstance(task, MeansTask)
    assert beside is None
    held = torch.arange(0, 120, 7)
    fold = task.fold(held)
    rest = np.delete(task.support.views[:, 0].numpy(), held.numpy(), axis=0)
    own = np.delete(task.support.labels.numpy(), held.numpy())
    expected = unit(np.stack([rest[own == label].mean(0) for label in range(4)]))
    np.testing.assert_allclose(fold.text.weights.numpy(), expected, atol=1e-5)
    assert np.abs(task.text.weights.numpy() - expected).max() > 1e-4


def test_the_scale_is_that_of_the_means_of_the_others(world: Vectors) -> None:
    vectors, labels = world
    task, _ = task_of(samples_of(vectors, labels, 4), None, LearnSpec("gda", None, 1))

    def loss(scale: float) -> float:
        total = 0.0
        for row, (vector, label) in enumerate(zip(vectors, labels, strict=True)):
            others = np.delete(vectors, row, 0), np.delete(labels, row)
            own, all_means = (
                unit(np.stack([values[names == each].mean(0) for each in range(4)])) for values, names in (others, (vectors, labels))
            )
            logits = scale * np.where(np.arange(4) == label, own @ vector, all_means @ vector)
            total += np.log(np.exp(logits).sum()) - logits[label]
        return float(total)

    found = task.text.logit_scale
    assert loss(found) < min(loss(0.9 * found), loss(1.1 * found))


def test_one_sample_a_class_leaves_clips_scale() -> None:
    learned = learn(np.eye(3), np.arange(3), None, 3, LearnSpec("tip-adapter", None, 1))
    assert learned.cache.text.logit_scale == 100.0
    assert learned.fitted.calibration.temperature == 1.0


def test_with_shots_the_others_choose_and_calibrate(world: Vectors) -> None:
    learned = learn(*world, None, 4, LearnSpec("tip-adapter", 8, 1))
    assert len(learned.cache.segments.labels) == 32
    assert learned.fitted.selection.selected_on == "the samples beside the support"
    assert learned.fitted.calibration.samples == 120 - 32


def test_lengths_count_for_nothing_but_zero() -> None:
    odd = np.asarray([[3e300, 4e300], [3e-300, 4e-300], [0.0, -2.0]])
    np.testing.assert_allclose(units_of(odd), np.asarray([[0.6, 0.8], [0.6, 0.8], [0.0, -1.0]]), rtol=1e-6)
    with pytest.raises(InputError, match="row 1 is all zero"):
        units_of(np.asarray([[1.0, 0.0], [0.0, 0.0]]))
