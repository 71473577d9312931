"""Affinities and their class sums, against loops that follow the formulas word by word."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.worlds.few_shot import random_support, unit
from xmap.stages.fewshot.task import Segments
from xmap.stages.methods.maths.affinity import affinity, class_scale, class_sums, masked_class_sums, sparse_class_sums
from xmap.store.formats.index import VectorIndex

counts_lists = st.lists(st.integers(0, 4), min_size=1, max_size=4).filter(lambda counts: sum(counts) > 0)


def slow_class_sums(values: np.ndarray, labels: np.ndarray, classes: int, shots: int) -> np.ndarray:
    sums = np.zeros((len(values), classes))
    for query in range(len(values)):
        for label in range(classes):
            own = [values[query, key] for key in range(len(labels)) if labels[key] == label]
            if own:
                sums[query, label] = shots * np.mean(own)
    return sums


def test_affinity_is_one_at_cosine_one_and_falls() -> None:
    cosines = torch.tensor([1.0, 0.5, 0.0])
    assert torch.allclose(affinity(cosines, 2.0), torch.tensor([1.0, np.exp(-1.0), np.exp(-2.0)], dtype=torch.float32))


@settings(deadline=None, max_examples=60)
@given(counts_lists, st.integers(1, 5), st.integers(0, 1000))
def test_class_sums_match_the_formula_for_uneven_shots(counts: list[int], shots: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    values = random.random((3, len(labels))).astype(np.float32)
    segments = Segments.of(torch.from_numpy(labels), len(counts), shots)
    found = class_sums(torch.from_numpy(values), segments).numpy()
    np.testing.assert_allclose(found, slow_class_sums(values, labels, len(counts), shots), rtol=1e-5, atol=1e-6)


def test_a_class_without_keys_sums_to_zero() -> None:
    segments = Segments.of(torch.tensor([1, 1]), 3, 2)
    assert class_sums(torch.ones(1, 2), segments).tolist() == [[0.0, 2.0, 0.0]]
    assert class_scale(segments).tolist() == [0.0, 1.0, 0.0]


@settings(deadline=None, max_examples=40)
@given(counts_lists, st.integers(0, 1000))
def test_all_retrieved_keys_give_the_dense_sums(counts: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    support = random_support(counts, 6, random)
    queries = torch.from_numpy(unit(random.normal(size=(5, 6))).astype(np.float32))
    found = VectorIndex.build(support.keys.numpy()).search(queries.numpy(), len(support))
    sparse = sparse_class_sums(torch.from_numpy(found.scores), torch.from_numpy(found.rows), 3.0, support.segments)
    dense = class_sums(affinity(queries @ support.keys.T, 3.0), support.segments)
    assert torch.allclose(sparse, dense, atol=1e-5)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_top_k_keeps_the_k_nearest_keys_alone(k: int) -> None:
    random = np.random.default_rng(3)
    support = random_support([3, 1, 4], 6, random)
    queries = unit(random.normal(size=(4, 6))).astype(np.float32)
    cosines = queries @ support.keys.numpy().T
    kept = np.zeros_like(cosines)
    for query, row in enumerate(cosines):
        for key in np.argsort(-row)[:k]:
            kept[query, key] = np.exp(-2.0 * (1.0 - row[key]))
    found = VectorIndex.build(support.keys.numpy()).search(queries, k)
    sparse = sparse_class_sums(torch.from_numpy(found.scores), torch.from_numpy(found.rows), 2.0, support.segments)
    expected = np.stack([kept[:, support.labels.numpy() == label].sum(1) * 4 / count for label, count in enumerate([3, 1, 4])], axis=1)
    np.testing.assert_allclose(sparse.numpy(), expected, rtol=1e-4, atol=1e-6)


def test_keys_that_were_not_found_count_nothing() -> None:
    segments = Segments.of(torch.tensor([0, 1]), 2, 1)
    sums = sparse_class_sums(torch.tensor([[0.5, -torch.inf]]), torch.tensor([[1, -1]]), 1.0, segments)
    assert torch.allclose(sums, torch.tensor([[0.0, np.exp(-0.5)]], dtype=torch.float32))


@settings(deadline=None, max_examples=60)
@given(counts_lists, st.integers(0, 1000))
def test_masked_self_leaves_the_sum_of_the_others(counts: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    values = random.random((len(labels), len(labels))).astype(np.float32)
    segments = Segments.of(torch.from_numpy(labels), len(counts), 4)
    found = masked_class_sums(torch.from_numpy(values), torch.arange(len(labels)), segments).numpy()
    for query, label in enumerate(labels):
        others = [values[query, key] for key in range(len(labels)) if labels[key] == label and key != query]
        assert found[query, label] == pytest.approx(4 * np.mean(others) if others else 0.0, rel=1e-4)
    plain = slow_class_sums(values, labels, len(counts), 4)
    other = np.arange(len(counts))[None, :] != labels[:, None]
    np.testing.assert_allclose(found[other], plain[other], rtol=1e-4, atol=1e-6)


def test_masking_passes_no_gradient_to_the_own_entry() -> None:
    values = torch.rand(4, 4, requires_grad=True)
    masked_class_sums(values, torch.arange(4), Segments.of(torch.tensor([0, 0, 1, 1]), 2, 2)).sum().backward()
    assert values.grad is not None
    assert values.grad.diagonal().abs().max() == 0.0
