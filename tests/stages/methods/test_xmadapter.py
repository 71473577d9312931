"""XMAdapter's default form against slow NumPy: what it scores, what support images meet while training, what it chooses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch.nn.functional import normalize

from xmap.stages.fewshot.task import FewShotTask, Labelled, Retrieved, Support, Text
from xmap.stages.methods import xmadapter
from xmap.stages.methods.maths.discriminant import RIDGES, Metric, discriminant, fit_meta_net, learn_spaces, leave_one_out
from xmap.stages.methods.maths.hard_samples import MEANS
from xmap.stages.methods.maths.trained_keys import TrainedKeySums
from xmap.stages.methods.options import XMAdapterOptions
from xmap.stages.methods.protocol import Cache, NoLog

Matrix = npt.NDArray[np.float64]
OPTIONS = XMAdapterOptions(min_steps=12, epochs=3, batch_size=8)
CLASSES, WIDTH = 5, 12


def world(shots: tuple[int, ...] = (4, 4, 4, 4, 4), seed: int = 0, validation: int = 0) -> FewShotTask:
    """Classes as noisy clusters whose texts lie across a modality gap."""
    random = torch.Generator().manual_seed(seed)
    centers = torch.randn(CLASSES, WIDTH, generator=random)
    labels = torch.tensor([label for label, count in enumerate(shots) for _ in range(count)])
    views = centers[labels] + 0.7 * torch.randn(len(labels), WIDTH, generator=random)
    text = Text(tuple("abcde"), normalize(centers + 2.0 + 0.5 * torch.randn(CLASSES, WIDTH, generator=random), dim=-1), 30.0)
    support = Support.of([f"s{row:03d}" for row in range(len(labels))], labels, views[:, None], max(shots), CLASSES)
    judged = None
    if validation:
        many = torch.arange(CLASSES).repeat_interleave(validation)
        features = normalize(centers[many] + 0.7 * torch.randn(len(many), WIDTH, generator=random), dim=-1)
        judged = Labelled(tuple(f"v{row}" for row in range(len(many))), many, features)
    return FewShotTask(text, support, judged, 1, "validation")


def queries(count: int = 7) -> torch.Tensor:
    return normalize(torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(9)), dim=-1)


def unit(vector: Matrix) -> Matrix:
    return vector / np.linalg.norm(vector)


def slow_logits(task: FewShotTask, fitted: xmadapter.Fitted, features: Matrix) -> Matrix:
    """The formula of the module's docstring, one query, class and key at a time."""
    t = {name: tensor.numpy().astype(np.float64) for name, tensor in fitted.tensors.items()}
    alpha, gamma, rho, beta, beta_text = (float(fitted.settings[k]) for k in ("alpha", "gamma", "residual", "beta", "beta_text"))
    labels = task.support.labels.numpy()
    logits = np.zeros((len(features), CLASSES))
    for row, feature in enumerate(features):
        image_query, text_query = unit((feature - t["center"]) @ t["image_map"]), unit((feature - t["center"]) @ t["text_map"])
        cosines = [text_query @ key for key in t["text_keys"]]
        for label in range(CLASSES):
            own = [np.exp(-beta * (1 - image_query @ key)) for key, of in zip(t["keys"], labels, strict=True) if of == label]
            image = np.mean(own) / beta if own else 0.0
            text = np.exp(-beta_text * (max(cosines) - cosines[label])) / beta_text
            weight = unit(task.text.weights[label].numpy().astype(np.float64) + rho * t["residual"][label])
            logits[row, label] = task.text.logit_scale * feature @ weight + alpha * (gamma * image + (1 - gamma) * text)
    return logits


@pytest.mark.parametrize("shots", [(4, 4, 4, 4, 4), (1, 1, 1, 1, 1), (3, 1, 4, 2, 5)])
@pytest.mark.parametrize("metric", ["split", "shared", "plain"])
def test_scores_equal_the_formula(shots: tuple[int, ...], metric: Metric) -> None:
    task = world(shots)
    fitted = xmadapter.fit(task, OPTIONS.model_copy(update={"metric": metric}), None, NoLog())
    found = xmadapter.scores(fitted, Cache(task.text, task.support.segments), queries())
    np.testing.assert_allclose(found.logits.numpy(), slow_logits(task, fitted, queries().numpy().astype(np.float64)), atol=2e-4)


def test_gamma_0_and_1_are_text_only_and_image_only() -> None:
    task = world()
    fitted = xmadapter.fit(task, OPTIONS, None, NoLog())
    cache = Cache(task.text, task.support.segments)
    for gamma, side in ((0.0, "text"), (1.0, "image")):
        chosen = xmadapter.Fitted(fitted.tensors, {**fitted.settings, "gamma": gamma}, fitted.selection)
        found = xmadapter.scores(chosen, cache, queries())
        weights = xmadapter.residual_weights(task.text.weights, fitted.tensors["residual"], float(fitted.settings["residual"]))
        alone = task.text.logit_scale * queries() @ weights.T + float(fitted.settings["alpha"]) * getattr(found, side)
        torch.testing.assert_close(found.logits, alone)


def test_all_keys_retrieved_equal_the_dense_formula() -> None:
    task = world((3, 1, 4, 2, 5))
    fitted = xmadapter.fit(task, OPTIONS, None, NoLog())
    cache = Cache(task.text, task.support.segments)
    similarity = xmadapter.index_queries(fitted, queries()) @ fitted.tensors["keys"].T
    scores, rows = similarity.topk(similarity.shape[1], dim=1)
    dense, sparse = xmadapter.scores(fitted, cache, queries()), xmadapter.scores(fitted, cache, queries(), Retrieved(scores, rows))
    torch.testing.assert_close(dense.logits, sparse.logits, atol=1e-4, rtol=1e-5)


def test_repeating_every_key_of_a_class_changes_no_logit() -> None:
    task = world()
    fitted = xmadapter.fit(task, OPTIONS, None, NoLog())
    rows = torch.cat([torch.arange(len(task.support)), torch.nonzero(task.support.labels == 2).flatten()])
    rows = rows[torch.argsort(task.support.labels[rows], stable=True)]
    twice = Support.of([f"{row:03d}" for row in range(len(rows))], task.support.labels[rows], task.support.views[rows], 4, CLASSES)
    repeated = xmadapter.Fitted({**fitted.tensors, "keys": fitted.tensors["keys"][rows]}, fitted.settings, fitted.selection)
    before = xmadapter.scores(fitted, Cache(task.text, task.support.segments), queries())
    after = xmadapter.scores(repeated, Cache(task.text, twice.segments), queries())
    torch.testing.assert_close(before.logits, after.logits)


@pytest.mark.parametrize("shots", [(4, 4, 4, 4, 4), (3, 1, 4, 2, 5)])
def test_a_support_image_never_meets_itself_while_training(shots: tuple[int, ...]) -> None:
    task = world(shots)
    spaces = learn_spaces(task, "split")
    image = xmadapter.own_image(task.support, spaces, spaces.keys, 3.0)
    keys, labels = spaces.keys.numpy().astype(np.float64), task.support.labels.numpy()
    for row, label in enumerate(labels):
        others = [np.exp(-3.0 * (1 - keys[row] @ keys[j])) for j in range(len(labels)) if labels[j] == label and j != row]
        expected = np.mean(others) / 3.0 if others else 0.0
        assert float(image[row, label]) == pytest.approx(expected, abs=1e-5)


def slow_text_key(texts: Matrix, keys: Matrix, labels: npt.NDArray[np.int64], ridge: float, asked: int) -> Matrix:
    """p_c of the class `asked`, from the origin, by the ridge map fitted to these images alone: the formula, solved anew."""
    there = [label for label in range(CLASSES) if (labels == label).any()]
    x = texts[there] - texts[there].mean(0)
    means = np.stack([keys[labels == label].mean(0) for label in there])
    y = means - means.mean(0)
    scale = (x * y).sum() / (x * x).sum()
    strength = ridge * (x * x).sum() / WIDTH
    pull = np.linalg.solve(x.T @ x + strength * np.eye(WIDTH), x.T @ (y - scale * x))
    at = texts[asked] - texts[there].mean(0)
    return means.mean(0) + scale * at + at @ pull


def text_keys_without_themselves(task: FewShotTask) -> tuple[Matrix, Matrix]:
    """Each support image's p_c as training meets it, from the origin, and as all images give it."""
    keys, labels, counts = task.support.keys.double(), task.support.labels, task.support.segments.counts.double()
    texts = task.text.weights.double()
    means = torch.zeros(CLASSES, WIDTH).double().index_add_(0, labels, keys) / counts.clamp(min=1)[:, None]
    center = means[counts > 0].mean(0)
    net = fit_meta_net(texts - texts[counts > 0].mean(0), means - center, counts > 0)
    return (leave_one_out(net, means - center, keys - center, labels, counts) + center).numpy(), (net.mapped + center)[labels].numpy()


SUPPORTS = [(4, 4, 4, 4, 4), (1, 1, 1, 1, 1), (2, 2, 2, 2, 2), (3, 1, 4, 2, 5), (0, 1, 3, 1, 2)]


@pytest.mark.parametrize("ridge", RIDGES)
@pytest.mark.parametrize("shots", SUPPORTS)
def test_the_text_map_without_an_image_is_the_map_fitted_without_it(
    shots: tuple[int, ...], ridge: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xmap.stages.methods.maths.discriminant.RIDGES", (ridge,))
    task = world(shots)
    keys, labels, texts = (tensor.numpy() for tensor in (task.support.keys.double(), task.support.labels, task.text.weights.double()))
    found, _ = text_keys_without_themselves(task)
    for row, label in enumerate(labels):
        rest = np.arange(len(labels)) != row
        np.testing.assert_allclose(found[row], slow_text_key(texts, keys[rest], labels[rest], ridge, label), atol=1e-9)


def test_where_its_class_is_left_an_image_leaves_almost_nothing_in_the_choice_of_the_ridge() -> None:
    """The strength of the ridge, one of seven, is chosen with the image: what of its influence on its text key that leaves."""
    left, whole = 0.0, 0.0
    for seed in range(6):
        task = world(seed=seed)
        keys, labels, texts = task.support.keys.double(), task.support.labels, task.text.weights.double()
        found, full = text_keys_without_themselves(task)
        for row in range(len(labels)):
            others = task.support.take(torch.tensor([other for other in range(len(labels)) if other != row]))
            means = torch.stack([others.keys.double()[others.labels == label].mean(0) for label in range(CLASSES)])
            net = fit_meta_net(texts - texts.mean(0), means - means.mean(0), torch.ones(CLASSES, dtype=torch.bool))
            refit = (net.mapped + means.mean(0))[int(labels[row])].numpy()
            left, whole = left + float(np.linalg.norm(found[row] - refit)), whole + float(np.linalg.norm(full[row] - refit))
    assert len(keys) == 20
    assert left < 0.1 * whole


def test_the_discriminant_basis_whitens_the_within_class_scatter() -> None:
    random = torch.Generator().manual_seed(3)
    residuals = torch.randn(400, 6, generator=random).double() * torch.tensor([1.0, 2.0, 3.0, 0.5, 1.0, 4.0]).double()
    misfit = torch.randn(40, 6, generator=random).double() * 3
    basis, _, share = discriminant(residuals, misfit, 10.0, 40, "split")
    freedom, width = 360, 6
    trust = width / (width + 0.4 * freedom)
    size = float(residuals.square().sum()) / freedom / width
    within = (1 - trust) * residuals.T @ residuals / freedom + trust * size * torch.eye(6).double()
    torch.testing.assert_close(basis.T @ within @ basis, torch.eye(6).double(), atol=1e-8, rtol=0)
    assert bool(((share > 0) & (share < 1)).all())


def test_defaults_stay_unless_validation_speaks_clearly() -> None:
    few, many = world(validation=1), world(validation=200)
    kept = xmadapter.fit(few, OPTIONS, None, NoLog())
    assert {name: value for name, value in kept.settings.items() if name not in MEANS} == xmadapter.defaults(few, OPTIONS)
    chosen = xmadapter.fit(many, OPTIONS, None, NoLog())
    assert chosen.selection.trials == math.prod(map(len, chosen.selection.grid.values()))
    assert chosen.selection.accuracy is not None


@pytest.mark.parametrize(("shots", "image"), [(1, 10.0), (2, 10.0), (3, 20.0), (4, 30.0), (16, 100.0)])
def test_the_image_side_grows_with_the_shots_and_the_text_side_stays(shots: int, image: float) -> None:
    chosen = xmadapter.defaults(world((shots,) * CLASSES), OPTIONS)
    alpha, gamma = float(chosen["alpha"]), float(chosen["gamma"])
    assert alpha * gamma == pytest.approx(image)
    assert alpha * (1 - gamma) == pytest.approx(xmadapter.TEXT_SIDE)


@pytest.mark.parametrize(("shots", "keys", "moved"), [(4, "tuned", True), (4, "frozen", False), (2, "tuned", False), (1, "tuned", False)])
def test_keys_are_trained_where_enough_images_are_left(shots: int, keys: Literal["tuned", "frozen"], moved: bool) -> None:
    task = world((shots,) * CLASSES)
    fitted = xmadapter.fit(task, OPTIONS.model_copy(update={"keys": keys}), None, NoLog())
    before = learn_spaces(task, "split").keys
    assert torch.equal(fitted.tensors["keys"], before) is not moved
    torch.testing.assert_close(fitted.tensors["keys"].norm(dim=1), torch.ones(shots * CLASSES))
    assert fitted.trainable_parameters == CLASSES * WIDTH + moved * shots * CLASSES * WIDTH


def test_a_key_learns_nothing_from_its_own_image() -> None:
    """A batch of one image moves every key but its own."""
    task = world()
    keys = learn_spaces(task, "split").keys.requires_grad_()
    sums = TrainedKeySums(task.support.segments, 2.0, unit=True)
    for row in (0, len(keys) - 1):
        (gradient,) = torch.autograd.grad(sums(keys[row : row + 1].detach(), keys, torch.tensor([row])).sum(), keys)
        assert (gradient.abs().sum(1) > 0).tolist() == [other != row for other in range(len(keys))]


class Weighed:
    """A log that keeps differences and weights, as (epochs, support samples)."""

    def __init__(self, samples: int, epochs: int) -> None:
        self.difference, self.weight, self.image = (torch.full((epochs, samples), torch.nan) for _ in range(3))

    def add(self, epoch: int, rows: torch.Tensor, columns: Mapping[str, torch.Tensor]) -> None:
        self.difference[epoch - 1, rows], self.weight[epoch - 1, rows] = columns["difference"], columns["weight"]
        self.image[epoch - 1, rows] = columns["affinity_image"]


def weighed(task: FewShotTask) -> tuple[Weighed, xmadapter.Fitted]:
    log = Weighed(len(task.support), OPTIONS.min_steps)
    fitted = xmadapter.fit(task, OPTIONS, None, log)
    there = ~log.weight.isnan().any(1)
    log.difference, log.weight, log.image = log.difference[there], log.weight[there], log.image[there]
    return log, fitted


def test_weights_rise_where_the_caches_disagree() -> None:
    log, _ = weighed(world())
    assert len(log.weight) > 2
    for difference, weight in zip(log.difference, log.weight, strict=True):
        torch.testing.assert_close(weight, 1.0 + OPTIONS.hard_weight * difference / difference.mean())
        assert float(weight.min()) > 1.0


@pytest.mark.parametrize(("shots", "moved"), [(4, True), (3, True), (2, False), (1, False)])
def test_weights_follow_the_keys_from_epoch_to_epoch(shots: int, moved: bool) -> None:
    """An epoch's weights are of the sides met in the epoch before; where keys stay as they are, so do sides and weights."""
    task = world((shots,) * CLASSES)
    log, _ = weighed(task)
    assert bool((log.weight[0] != log.weight[-1]).any()) is moved
    assert bool((log.image[0] != log.image[-1]).any()) is moved


def test_the_first_weights_are_the_formula() -> None:
    task = world((3, 1, 4, 2, 5))
    spaces = learn_spaces(task, "split")
    image = xmadapter.own_image(task.support, spaces, spaces.keys, 2.0).numpy().astype(np.float64)
    text = xmadapter.own_text(task.support, spaces, 3.0).numpy().astype(np.float64)
    expected = np.array([np.mean(np.abs(image[row] / image.mean() - text[row] / text.mean())) for row in range(len(image))])
    log, _ = weighed(task)
    np.testing.assert_allclose(log.difference[0].numpy(), expected, rtol=1e-4)


def test_the_means_that_an_adapter_keeps_are_those_of_its_support_at_its_final_keys() -> None:
    task = world()
    _, fitted = weighed(task)
    spaces = learn_spaces(task, "split")
    queries, keys, labels = spaces.keys.numpy().astype(np.float64), fitted.tensors["keys"].numpy(), task.support.labels.numpy()
    met = np.zeros((len(labels), CLASSES))
    for row in range(len(labels)):
        for label in range(CLASSES):
            others = [np.exp(-2.0 * (1.0 - queries[row] @ keys[j])) for j in range(len(labels)) if labels[j] == label and j != row]
            met[row, label] = np.mean(others) / 2.0
    assert float(fitted.settings["mean_image"]) == pytest.approx(met.mean(), rel=1e-4)
    assert float(fitted.settings["mean_text"]) == pytest.approx(float(xmadapter.own_text(task.support, spaces, 3.0).mean()), rel=1e-5)
