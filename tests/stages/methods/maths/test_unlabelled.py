"""What XMAdapter learns from a pool, against slow NumPy; and its laws: nothing, any order, strangers, and images that are known already."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from tests.stages.methods.test_xmadapter import OPTIONS, queries, slow_logits, world
from xmap.stages.fewshot.pool import Pool
from xmap.stages.fewshot.task import FewShotTask
from xmap.stages.methods import xmadapter
from xmap.stages.methods.maths.discriminant import learn_spaces
from xmap.stages.methods.maths.unlabelled import FADE, PRIOR, ROUNDS, membership, soft_labels, spread_of
from xmap.stages.methods.protocol import Cache, Fitted, NoLog

CLASSES, WIDTH, MANY = 5, 12, 40


def random(*shape: int, seed: int = 3) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pool_of(task: FewShotTask, seed: int = 4) -> Pool:
    """Images around the classes' support."""
    draw = torch.Generator().manual_seed(seed)
    rows = torch.randint(len(task.support), (MANY,), generator=draw)
    return Pool(normalize(task.support.keys[rows] + 0.2 * torch.randn(MANY, WIDTH, generator=draw), dim=-1))


def fitted_with(task: FewShotTask, pool: Pool | None) -> Fitted:
    torch.manual_seed(task.seed)
    return xmadapter.fit(replace(task, pool=pool), OPTIONS, None, NoLog())


def logits(task: FewShotTask, fitted: Fitted) -> Tensor:
    return xmadapter.scores(fitted, Cache.of(task), queries()).logits


@pytest.mark.parametrize("shares", ["given", "estimated", "free"])
def test_soft_labels_and_shares_equal_the_formula(shares: str) -> None:
    said, weights, given = random(7, 3) * 3, random(7, seed=5).sigmoid(), torch.tensor([0.7, 0.3, 0.0], dtype=torch.float64)
    pool = Pool(torch.zeros(7, 2), shares, given if shares == "given" else None)  # type: ignore[arg-type]
    soft, found = soft_labels(said, weights, pool)
    believed = given.numpy().copy() if shares == "given" else np.full(3, 1 / 3)
    for _ in range(ROUNDS if shares == "estimated" else 1):
        odds = np.exp(said.numpy()) * np.maximum(believed, 1e-12)
        slow = odds / odds.sum(1, keepdims=True) * weights.numpy()[:, None]
        if shares == "estimated":
            believed = (slow.sum(0) + PRIOR) / (slow.sum() + 3 * PRIOR)
    np.testing.assert_allclose(soft.numpy(), slow, atol=1e-12)
    np.testing.assert_allclose(found.numpy(), believed, atol=1e-12)


def test_strange_images_weigh_what_as_strange_ones_of_the_classes_are_rare() -> None:
    known = torch.tensor([0.1, 0.2, 0.3, 0.4])
    assert membership(torch.tensor([0.0, 0.2, 0.25, 0.35, 0.4, 0.5]), known).tolist() == [1.0, 1.0, 1.0, 0.5, 0.5, 0.0]


def test_the_scatter_is_that_of_each_image_around_each_class_it_may_be_of() -> None:
    task = world((2, 3, 1, 2, 4))
    anchor = learn_spaces(task, "split").anchor
    offsets, soft = random(9, WIDTH), random(9, CLASSES, seed=6).softmax(1) * 0.8
    found, shots = spread_of(offsets, soft, anchor, 2.0), 2.0
    basis, e = anchor.basis.numpy(), anchor.between.numpy()
    scatter, freedom = np.zeros((WIDTH, WIDTH)), 0.0
    for label in range(CLASSES):
        n, z = float(anchor.counts[label]), soft.numpy()[:, label]
        seen = (anchor.foretold[label].numpy() @ basis / e + n * anchor.means[label].numpy() @ basis) / (1 / e + n)
        believed = seen @ np.linalg.inv(basis)
        mean = (believed + z @ offsets.numpy()) / (1 + z.sum())
        for row, weight in enumerate(z):
            away = offsets[row].numpy() - mean
            scatter += weight * np.outer(away, away)
        freedom += z.sum() - z.sum() / (1 + z.sum())
    np.testing.assert_allclose(found.scatter.numpy(), scatter / shots**FADE, atol=1e-9)
    assert found.freedom == pytest.approx(freedom / shots**FADE)


# ---- laws


@pytest.mark.parametrize("shots", [(4, 4, 4, 4, 4), (1, 1, 1, 1, 1), (3, 1, 4, 2, 5)])
def test_an_empty_pool_is_no_pool_bit_for_bit(shots: tuple[int, ...]) -> None:
    task = world(shots)
    one, other = fitted_with(task, None), fitted_with(task, Pool(torch.zeros(0, WIDTH)))
    assert one.tensors.keys() == other.tensors.keys()
    assert all(torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors)


@pytest.mark.parametrize("shots", [(2, 2, 2, 2, 2), (1, 1, 1, 1, 1)])
def test_the_order_of_a_pool_changes_nothing_but_rounding_and_scores_stay_the_formula(shots: tuple[int, ...]) -> None:
    task = world(shots)
    pool = pool_of(task)
    fitted = fitted_with(task, pool)
    torch.testing.assert_close(logits(task, fitted), logits(task, fitted_with(task, replace(pool, features=pool.features.flip(0)))))
    np.testing.assert_allclose(logits(task, fitted).numpy(), slow_logits(task, fitted, queries().double().numpy()), atol=2e-4)
    assert float(fitted.tensors["pool_shares"].sum()) == pytest.approx(1.0)


def test_a_pool_changes_answers_and_one_of_the_support_itself_few() -> None:
    task = world((1, 1, 1, 1, 1))
    alone = logits(task, fitted_with(task, None))
    assert not torch.equal(alone, logits(task, fitted_with(task, pool_of(task))))
    own = logits(task, fitted_with(task, Pool(task.support.keys)))
    assert (own.argmax(1) == alone.argmax(1)).float().mean() >= 0.8


def test_beyond_two_shots_labels_alone_have_the_say() -> None:
    task = world()
    alone, beside = fitted_with(task, None), fitted_with(task, pool_of(task))
    assert beside.tensors.keys() - alone.tensors.keys() == {"pool_shares"}
    assert all(torch.equal(alone.tensors[name], beside.tensors[name]) for name in alone.tensors)


def test_strangers_beside_a_pool_change_little() -> None:
    task = world((2, 2, 2, 2, 2))
    pool = pool_of(task)
    strangers = normalize(-task.support.keys.mean(0) + torch.randn(20, WIDTH, generator=torch.Generator().manual_seed(11)), dim=-1)
    with_them = logits(task, fitted_with(task, Pool(torch.cat([pool.features, strangers]))))
    assert (with_them.argmax(1) == logits(task, fitted_with(task, pool)).argmax(1)).float().mean() >= 0.8
