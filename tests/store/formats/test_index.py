"""The index finds what a product of matrices finds, and its refusals are sentences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xmap.store.formats.index
import xmap.store.formats.index_file
from tests.worlds.vectors import unit
from xmap.store.errors import InputError, XmapError
from xmap.store.formats.index import VectorIndex, gpu_count

REFINED = "IVF4,PQ8x4fs,Refine(SQfp16)"


@settings(max_examples=40)
@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 20), st.integers(1, 80), st.integers(0, 99))
def test_flat_is_brute_force(keys: int, queries: int, width: int, k: int, seed: int) -> None:
    stored, asked = unit(keys, width, seed), unit(queries, width, seed + 1)
    index = VectorIndex.build(stored)
    found = index.search(asked, k)
    scores = asked @ stored.T
    assert found.rows.shape == found.scores.shape == (queries, min(k, keys))
    np.testing.assert_allclose(found.scores, -np.sort(-scores, axis=1)[:, :k], atol=2e-6)
    np.testing.assert_allclose(np.take_along_axis(scores, found.rows, 1), found.scores, atol=2e-6)
    assert all(len(set(row)) == len(row) for row in found.rows.tolist())
    np.testing.assert_array_equal(index.keys(), stored)


@pytest.mark.usefixtures("mapped")
@pytest.mark.parametrize("factory", ["Flat", "IVF4,Flat", "HNSW8", REFINED, "HNSW8,Refine(SQ8)", "OPQ8,IVF4,PQ8x4fs,RFlat"])
def test_a_saved_index_answers_the_same(tmp_path: Path, factory: str) -> None:
    index = VectorIndex.build(unit(300, 16), factory)
    index.save(tmp_path / "image.faiss")
    loaded = VectorIndex.load(tmp_path / "image.faiss")
    assert (len(loaded), loaded.width) == (300, 16)
    before, after = index.search(unit(5, 16, 1), 7), loaded.search(unit(5, 16, 1), 7)
    np.testing.assert_array_equal(before.rows, after.rows)
    np.testing.assert_allclose(before.scores, after.scores, atol=2e-6)
    assert [path.name for path in tmp_path.iterdir()] == ["image.faiss"]


def test_a_large_index_is_not_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    VectorIndex.build(unit(20_000, 64)).save(tmp_path / "a")
    monkeypatch.setattr(xmap.store.formats.index_file, "MAPPED_FROM", 1000)
    mapped = VectorIndex.load(tmp_path / "a")
    with open("/proc/self/maps") as maps:
        assert str(tmp_path / "a") in maps.read()
    assert len(mapped) == 20_000


def test_equal_keys_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        VectorIndex.build(unit(300, 16), "IVF4,Flat").save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("factory", ["Flat", "IVF4,Flat", "IVF4,PQ4x4", "SQ8", REFINED])
def test_an_index_built_in_chunks_has_the_bytes_of_one_built_at_once(tmp_path: Path, factory: str) -> None:
    keys = unit(700, 16)
    VectorIndex.build(keys, factory).save(tmp_path / "whole")
    parts = [keys[:1], keys[1:300], keys[300:300], keys[300:]]
    VectorIndex.build_in_chunks(lambda: iter(parts), 700, 16, factory).save(tmp_path / "chunks")
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "chunks").read_bytes()


def test_what_an_index_learns_comes_from_keys_at_even_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmap.store.formats.index.LEAST_SAMPLE", 300)
    index = VectorIndex.build_in_chunks(lambda: iter(np.split(unit(900, 8), 9)), 900, 8, "IVF4,Flat")
    assert len(index) == 900
    assert index.search(unit(900, 8)[500:501], 1).rows.tolist() == [[500]]


@pytest.mark.usefixtures("mapped")
@pytest.mark.parametrize("factory", ["IVF8,Flat", "PCA4,IVF8,Flat", "HNSW8", "IVF8,PQ4x4fs,Refine(SQfp16)", "HNSW8,RFlat"])
def test_the_effort_of_a_search_is_kept_in_the_file(tmp_path: Path, factory: str) -> None:
    index = VectorIndex.build(unit(400, 8), factory)
    index.effort = 5
    index.save(tmp_path / "a")
    assert VectorIndex.load(tmp_path / "a").effort == 5
    assert index.most_effort == (400 if factory.startswith("HNSW8") else 8)


@pytest.mark.usefixtures("mapped")
def test_fine_codes_rank_what_coarse_ones_let_through(tmp_path: Path) -> None:
    keys, queries = unit(1000, 16), unit(50, 16, 1)
    VectorIndex.build(keys, "IVF1,PQ8x4fs,Refine(SQfp16)").save(tmp_path / "a")
    found = VectorIndex.load(tmp_path / "a").search(queries, 10)
    scores = queries @ keys.T
    # The scores are those of half-precision keys, not of 4-bit codes, and the best is nearly always among eight times as many.
    np.testing.assert_allclose(np.take_along_axis(scores, found.rows, 1), found.scores, atol=2e-3)
    assert (found.rows[:, 0] == scores.argmax(1)).mean() > 0.9
    np.testing.assert_allclose(VectorIndex.load(tmp_path / "a").keys(slice(3, 9)), keys[3:9], atol=1e-3)


def test_an_exact_index_has_no_effort() -> None:
    index = VectorIndex.build(unit(9, 8))
    index.effort = 3
    assert index.effort is None


def test_a_run_of_keys() -> None:
    np.testing.assert_array_equal(VectorIndex.build(unit(9, 8)).keys(slice(2, 5)), unit(9, 8)[2:5])


def test_where_an_approximate_index_finds_too_few_the_rest_says_so() -> None:
    found = VectorIndex.build(unit(100, 8), "IVF20,Flat").search(unit(3, 8, 1), 100)
    assert (found.rows == -1).any()
    assert np.isneginf(found.scores[found.rows == -1]).all()


@pytest.mark.parametrize("factory", ["", "Flatt", "IVF9999,Flat", "PQ3", "IVF4,Flat;x", "\0", "OPQ"])
def test_a_factory_that_faiss_refuses_is_one_sentence(factory: str) -> None:
    with pytest.raises(InputError, match="try --index Flat") as caught:
        VectorIndex.build(unit(50, 8), factory)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(2, 7), (2, 9), (8,), (1, 2, 8)])
def test_a_wrong_width_is_one_sentence(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="expected vectors of width 8"):
        VectorIndex.build(unit(4, 8)).search(np.ones(shape, np.float32), 1)


def test_no_key_no_query_and_no_k() -> None:
    empty = VectorIndex.build(np.zeros((0, 8), np.float32))
    assert empty.search(unit(3, 8), 5).rows.shape == (3, 0)
    index = VectorIndex.build(unit(4, 8))
    assert index.search(unit(3, 8), 0).scores.shape == (3, 0)
    assert index.search(np.zeros((0, 8), np.float32), 2).rows.shape == (0, 2)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floats_are_taken_as_numbers(dtype: type) -> None:
    index = VectorIndex.build(unit(10, 8).astype(dtype))
    assert index.search(unit(10, 8).astype(dtype), 1).rows.ravel().tolist() == list(range(10))


@pytest.mark.skipif(gpu_count() > 0, reason="this machine has a GPU")
def test_without_a_gpu_the_remedy_is_named() -> None:
    with pytest.raises(InputError, match="--device cpu"):
        VectorIndex.build(unit(4, 8)).on_gpu()


@pytest.mark.gpu
@pytest.mark.skipif(gpu_count() == 0, reason="faiss sees no GPU")
def test_a_gpu_finds_the_same() -> None:
    index, queries = VectorIndex.build(unit(2000, 64)), unit(50, 64, 1)
    np.testing.assert_array_equal(index.on_gpu().search(queries, 5).rows, index.search(queries, 5).rows)


def test_only_our_errors_are_raised_for_odd_queries() -> None:
    index = VectorIndex.build(unit(4, 8))
    for queries in (np.full((2, 8), np.nan, np.float32), np.full((2, 8), np.inf, np.float32)):
        try:
            index.search(queries, 2)
        except XmapError:
            continue


def test_a_search_keeps_best_first() -> None:
    scores = VectorIndex.build(unit(64, 8)).search(unit(10, 8, 5), 64).scores
    assert (np.diff(scores, axis=1) <= 1e-6).all()


@pytest.mark.parametrize(
    ("factory", "lists", "sizes"), [("IVF4,Flat", 4 * 3, [3, 3, 3, 1]), ("IVF4,Flat", 1, [1] * 10), ("Flat", 100, [8, 2])]
)
def test_many_queries_are_searched_a_part_at_a_time(factory: str, lists: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """At 4,096 lists a query, 16,384 queries at once took 1.7 GB."""
    index, asked = VectorIndex.build(unit(300, 16), factory), unit(10, 16, 1)
    index.effort = 4
    at_once, asked_for = index.search(asked, 7), []
    monkeypatch.setattr(xmap.store.formats.index, "SEARCHED", 8)
    monkeypatch.setattr(xmap.store.formats.index, "SEARCHED_LISTS", lists)
    search = index._index.search
    monkeypatch.setattr(index._index, "search", lambda queries, k: asked_for.append(len(queries)) or search(queries, k))
    found = index.search(asked, 7)
    assert asked_for == sizes
    np.testing.assert_array_equal(found.rows, at_once.rows)
    np.testing.assert_allclose(found.scores, at_once.scores, atol=2e-6)
    assert index.search(asked[:0], 7).rows.shape == (0, 7)
