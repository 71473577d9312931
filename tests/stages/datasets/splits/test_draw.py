"""Laws of drawn splits."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmap.stages.datasets.dataset import TEST, TRAIN, VAL
from xmap.stages.datasets.splits.draw import draw_splits
from xmap.store.errors import InputError

Labelled = list[tuple[str, str]]
labelled = st.dictionaries(st.text(max_size=6), st.sampled_from("abc"), min_size=1).map(lambda found: list(found.items()))
shares = st.tuples(st.floats(0, 0.49), st.floats(0.01, 0.5))


@given(labelled, st.integers(), shares, st.randoms(use_true_random=False))
def test_order_of_listing_does_not_matter(pairs: Labelled, seed: int, share: tuple[float, float], draw: object) -> None:
    shuffled = list(pairs)
    draw.shuffle(shuffled)  # type: ignore[attr-defined]
    assert draw_splits(pairs, seed, *share) == draw_splits(shuffled, seed, *share)


@given(labelled, st.integers(), shares)
def test_every_sample_has_a_split_and_every_class_trains(pairs: Labelled, seed: int, share: tuple[float, float]) -> None:
    splits, _ = draw_splits(pairs, seed, *share)
    assert set(splits) == {sample_id for sample_id, _ in pairs}
    assert {label for sample_id, label in pairs if splits[sample_id] == TRAIN} == {label for _, label in pairs}


@given(labelled, st.integers(), shares)
def test_a_class_is_split_by_itself(pairs: Labelled, seed: int, share: tuple[float, float]) -> None:
    whole, _ = draw_splits(pairs, seed, *share)
    alone = [(sample_id, "renamed") for sample_id, label in pairs if label == pairs[0][1]]
    assert draw_splits(alone, seed, *share)[0] == {sample_id: whole[sample_id] for sample_id, _ in alone}


def test_shares_are_rounded_within_each_class() -> None:
    pairs = [(f"{label}{n}", label) for label, count in (("a", 100), ("b", 7)) for n in range(count)]
    splits, remarks = draw_splits(pairs, 1, 0.2, 0.3)
    assert Counter((label, splits[sample_id]) for sample_id, label in pairs) == {
        ("a", TRAIN): 50, ("a", VAL): 20, ("a", TEST): 30, ("b", TRAIN): 4, ("b", VAL): 1, ("b", TEST): 2,
    }  # fmt: skip
    assert remarks == ("the data has no splits: drew 54 train, 21 val, 32 test with split_seed 1",)


def test_another_seed_draws_another_split() -> None:
    pairs = [(str(n), "a") for n in range(50)]
    assert draw_splits(pairs, 1, 0.2, 0.3)[0] != draw_splits(pairs, 2, 0.2, 0.3)[0]


def test_tiny_classes_are_named() -> None:
    pairs = [("1", "one"), *[(f"2{n}", "two") for n in range(2)], *[(f"s{n}", "six") for n in range(6)]]
    splits, remarks = draw_splits(pairs, 1, 0.2, 0.3)
    assert splits["1"] == TRAIN
    assert remarks[1:] == ("1 class is too small for a test image: 'one'", "2 classes are too small for a val image: 'one', 'two'")


def test_without_a_val_share_no_class_lacks_one() -> None:
    assert len(draw_splits([("a", "x"), ("b", "x")], 1, 0.0, 0.5)[1]) == 1


def test_shares_that_leave_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="leave no training images"):
        draw_splits([("a", "x")], 1, 0.5, 0.5)


def test_splits_stay_what_they_were() -> None:
    """Golden: a change here re-draws every user's split."""
    splits, _ = draw_splits([(f"img/{n}.jpg", "a") for n in range(8)], 1, 0.25, 0.25)
    assert "".join(splits[f"img/{n}.jpg"][:2] for n in range(8)) == "vatrtrtrtetetrva"
