"""Zero-shot and Tip-Adapter against NumPy, and the laws that any few-shot classifier of this kind obeys."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.worlds.few_shot import SCALE, random_labelled, random_support, random_text
from xmap.stages.fewshot.task import FewShotTask, Labelled, Retrieved, Support, Text
from xmap.stages.methods import tip_adapter, zero_shot
from xmap.stages.methods.options import ALPHAS, BETAS, TipAdapterOptions, ZeroShotOptions
from xmap.stages.methods.protocol import Cache, Fitted, NoLog
from xmap.store.formats.index import VectorIndex

SETTINGS = {"alpha": 0.7, "beta": 3.0}
uneven = st.lists(st.integers(0, 4), min_size=1, max_size=4).filter(any)


def tip(text: Text, support: Support, features: torch.Tensor) -> np.ndarray:
    task = FewShotTask(text, support, None, 1, "nothing")
    fitted = tip_adapter.fit(task, TipAdapterOptions(), SETTINGS, NoLog())
    return tip_adapter.scores(fitted, Cache(text, support.segments), features).logits.numpy()


def slow_tip(text: Text, support: Support, features: torch.Tensor) -> np.ndarray:
    logits = np.zeros((len(features), text.classes))
    for query, feature in enumerate(features.numpy().astype(np.float64)):
        for label in range(text.classes):
            logits[query, label] = SCALE * feature @ text.weights[label].numpy()
            near = []
            for key, other in zip(support.views.numpy().astype(np.float64).mean(axis=1), support.labels.tolist(), strict=True):
                if other == label:
                    near.append(np.exp(-SETTINGS["beta"] * (1 - feature @ key / np.linalg.norm(key))))
            if near:
                logits[query, label] += SETTINGS["alpha"] * support.shots * np.mean(near)
    return logits


def world(counts: list[int], seed: int, views: int = 1) -> tuple[Text, Support, torch.Tensor, np.random.Generator]:
    random = np.random.default_rng(seed)
    support = random_support(counts, 6, random, views=views)
    return random_text(len(counts), 6, random), support, random_labelled(5, len(counts), 6, random).features, random


@settings(deadline=None, max_examples=30)
@given(uneven, st.integers(0, 99), st.integers(1, 3))
def test_tip_adapter_is_its_formula(counts: list[int], seed: int, views: int) -> None:
    text, support, features, _ = world(counts, seed, views)
    np.testing.assert_allclose(tip(text, support, features), slow_tip(text, support, features), rtol=1e-4, atol=1e-4)


@settings(deadline=None, max_examples=30)
@given(uneven, st.integers(0, 99))
def test_permuting_classes_permutes_logits(counts: list[int], seed: int) -> None:
    text, support, features, random = world(counts, seed)
    order = random.permutation(len(counts))
    place = torch.from_numpy(np.argsort(order))
    moved = Text(tuple(text.names[label] for label in order), text.weights[torch.from_numpy(order)], text.logit_scale)
    again = Support.of(support.sample_ids, place[support.labels], support.views, support.shots, support.classes)
    np.testing.assert_allclose(tip(moved, again, features), tip(text, support, features)[:, order], rtol=1e-4, atol=1e-4)


@settings(deadline=None, max_examples=30)
@given(uneven, st.integers(2, 3), st.integers(0, 99))
def test_duplicating_a_classs_keys_changes_no_logit(counts: list[int], copies: int, seed: int) -> None:
    text, support, features, _ = world(counts, seed)
    label = int(support.labels[0])
    rows = torch.nonzero(support.labels == label).flatten().repeat(copies - 1)
    ids = [*support.sample_ids, *(f"{support.sample_ids[int(row)]} copy {number}" for number, row in enumerate(rows))]
    views = torch.cat([support.views, support.views[rows]])
    more = Support.of(ids, torch.cat([support.labels, support.labels[rows]]), views, support.shots, support.classes)
    np.testing.assert_allclose(tip(text, more, features), tip(text, support, features), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("counts", [[1, 1, 1], [5], [1], [3, 1, 2]])
def test_one_shot_one_class_and_uneven_shots(counts: list[int]) -> None:
    text, support, features, _ = world(counts, 5)
    np.testing.assert_allclose(tip(text, support, features), slow_tip(text, support, features), rtol=1e-4, atol=1e-4)


def test_faiss_over_all_keys_is_the_dense_formula_and_fewer_are_less() -> None:
    text, support, features, _ = world([3, 1, 4], 6)
    fitted = Fitted(
        {"keys": support.keys}, SETTINGS, tip_adapter.fit(task_of(text, support), TipAdapterOptions(), SETTINGS, NoLog()).selection
    )
    cache = Cache(text, support.segments)
    index = VectorIndex.build(support.keys.numpy())

    def at(k: int) -> torch.Tensor:
        found = index.search(features.numpy(), k)
        return tip_adapter.scores(fitted, cache, features, Retrieved(torch.from_numpy(found.scores), torch.from_numpy(found.rows))).logits

    dense = tip_adapter.scores(fitted, cache, features).logits
    assert torch.allclose(at(len(support)), dense, atol=1e-4)
    assert (at(2) <= dense + 1e-4).all()
    assert not torch.allclose(at(2), dense, atol=1e-3)


def task_of(text: Text, support: Support, validation: Labelled | None = None) -> FewShotTask:
    return FewShotTask(text, support, validation, 1, "validation" if validation else "nothing (fixed defaults)")


def test_choices_come_from_validation_and_are_counted() -> None:
    text, support, _, random = world([4, 4, 4], 7)
    validation = random_labelled(12, 3, 6, random)
    chosen = tip_adapter.fit(task_of(text, support, validation), TipAdapterOptions(), None, NoLog())
    assert chosen.selection.selected_on == "validation"
    assert chosen.selection.trials >= len(ALPHAS.values) * len(BETAS.values)
    logits = tip_adapter.scores(chosen, Cache(text, support.segments), validation.features).logits
    assert chosen.selection.accuracy == pytest.approx(100 * float((logits.argmax(1) == validation.labels).float().mean()))


def test_without_validation_the_defaults_hold_in_units_of_shots_and_scale() -> None:
    text, support, _, _ = world([2, 2], 8)
    fixed = tip_adapter.fit(task_of(text, support), TipAdapterOptions(), None, NoLog())
    assert fixed.settings == {"alpha": pytest.approx(SCALE / 100 * 16 / 2), "beta": 5.5}
    assert (fixed.selection.trials, fixed.selection.accuracy) == (0, None)


def test_zero_shot_fits_nothing() -> None:
    text, support, features, _ = world([2, 2], 9)
    fitted = zero_shot.fit(task_of(text, support), ZeroShotOptions(), None, NoLog())
    scores = zero_shot.scores(fitted, Cache(text, support.segments), features)
    assert not fitted.tensors
    assert torch.equal(scores.logits, text.logits(features))
