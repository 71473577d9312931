"""Laws of drawn splits: what is ranked is a unit, which samples of one content share, and never a name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.worlds.contents import digest, having
from xmap.stages.datasets.dataset import SPLITS, TEST, TRAIN, VAL, Sample
from xmap.stages.datasets.places.columns import Array, column
from xmap.stages.datasets.splits.draw import draw_splits, keep_few
from xmap.stages.datasets.splits.units import Units
from xmap.store.errors import InputError

# A sample's id, its class, and what it is drawn by.
Labelled = tuple[str, str, str]
# Sample ids, each with its class and its unit: few units, so that some are shared within a class and among classes.
labelled = st.dictionaries(st.text(max_size=6), st.tuples(st.sampled_from("abc"), st.integers(0, 9).map("u{}".format)), min_size=1).map(
    lambda found: [(sample_id, name, unit) for sample_id, (name, unit) in found.items()]
)
shares = st.tuples(st.floats(0, 0.49), st.floats(0.01, 0.5))
seeds = st.integers()


def columns(rows: list[Labelled]) -> tuple[Array, Units, list[str]]:
    classes = sorted({name for _, name, _ in rows})
    return np.asarray([classes.index(name) for _, name, _ in rows]), Units.of(column(unit for *_, unit in rows)), classes


def drawn(rows: list[Labelled], seed: int, val_share: float, test_share: float) -> tuple[dict[str, str], tuple[str, ...]]:
    """The split of each sample, and remarks."""
    splits, remarks = draw_splits(*columns(rows), seed, val_share, test_share)
    return {sample_id: SPLITS[split] for (sample_id, *_), split in zip(rows, splits, strict=True)}, remarks


def few(rows: list[Labelled], seed: int, per_class: int) -> tuple[set[str], tuple[str, ...]]:
    """The samples that are left out, and remarks."""
    labels, units, classes = columns(rows)
    kept, remarks = keep_few(labels, units, len(classes), seed, per_class)
    return {sample_id for (sample_id, *_), stays in zip(rows, kept, strict=True) if not stays}, remarks


def own(labelled: list[Labelled]) -> list[Labelled]:
    """The same samples, none of which shares its unit."""
    return [(sample_id, name, sample_id) for sample_id, name, _ in labelled]


def by_unit(labelled: list[Labelled], splits: Mapping[str, str]) -> set[tuple[str, str]]:
    return {(unit, splits[sample_id]) for sample_id, _, unit in labelled}


@given(labelled, seeds, shares, st.randoms(use_true_random=False))
def test_order_of_listing_does_not_matter(rows: list[Labelled], seed: int, share: tuple[float, float], draw: object) -> None:
    shuffled = list(rows)
    draw.shuffle(shuffled)  # type: ignore[attr-defined]
    assert drawn(rows, seed, *share) == drawn(shuffled, seed, *share)
    assert few(rows, seed, 2) == few(shuffled, seed, 2)


@given(labelled, seeds, shares)
def test_every_sample_has_a_split_and_every_class_trains(rows: list[Labelled], seed: int, share: tuple[float, float]) -> None:
    """Classes that share contents too: what one class puts into test may be all that another has."""
    splits, _ = drawn(rows, seed, *share)
    assert set(splits) == {sample_id for sample_id, _, _ in rows}
    assert {name for sample_id, name, _ in rows if splits[sample_id] == TRAIN} == {name for _, name, _ in rows}


@given(labelled, seeds, shares)
def test_a_unit_is_never_divided_whatever_its_classes(rows: list[Labelled], seed: int, share: tuple[float, float]) -> None:
    splits, _ = drawn(rows, seed, *share)
    assert len(by_unit(rows, splits)) == len({unit for _, _, unit in rows})


@given(labelled, seeds, shares)
def test_names_of_samples_move_none(rows: list[Labelled], seed: int, share: tuple[float, float]) -> None:
    renamed = [(f"elsewhere/{number}", name, unit) for number, (_, name, unit) in enumerate(rows)]
    assert by_unit(rows, drawn(rows, seed, *share)[0]) == by_unit(renamed, drawn(renamed, seed, *share)[0])
    assert {rows[int(gone.rpartition("/")[2])][0] for gone in few(renamed, seed, 2)[0]} == few(rows, seed, 2)[0]


@given(labelled, seeds, shares)
def test_another_copy_moves_none(rows: list[Labelled], seed: int, share: tuple[float, float]) -> None:
    copies = [(f"copy of {sample_id}", name, unit) for sample_id, name, unit in rows]
    assert by_unit(rows, drawn(rows, seed, *share)[0]) == by_unit(copies, drawn(rows + copies, seed, *share)[0])


@given(labelled.map(own), seeds, shares)
def test_a_class_is_split_by_itself(rows: list[Labelled], seed: int, share: tuple[float, float]) -> None:
    """Where it shares no unit with another class."""
    whole, _ = drawn(rows, seed, *share)
    alone = [(sample_id, "renamed", unit) for sample_id, name, unit in rows if name == rows[0][1]]
    assert drawn(alone, seed, *share)[0] == {sample_id: whole[sample_id] for sample_id, _, _ in alone}


@given(labelled, seeds, st.integers(1, 4))
def test_each_class_keeps_so_many_units_and_all_their_copies(rows: list[Labelled], seed: int, per_class: int) -> None:
    left_out, remarks = few(rows, seed, per_class)
    kept = [row for row in rows if row[0] not in left_out]
    units = {name: {unit for _, other, unit in rows if other == name} for _, name, _ in rows}
    for name, found in units.items():
        assert len({unit for _, other, unit in kept if other == name}) == min(per_class, len(found))
    whole = {(name, unit) for _, name, unit in kept}
    assert kept == [row for row in rows if row[1:] in whole]
    assert bool(remarks) == bool(left_out)


def test_shares_are_rounded_within_each_class() -> None:
    rows = own([(f"{label}{n}", label, "") for label, count in (("a", 100), ("b", 7)) for n in range(count)])
    splits, remarks = drawn(rows, 1, 0.2, 0.3)
    assert Counter((label, splits[sample_id]) for sample_id, label, _ in rows) == {
        ("a", TRAIN): 50, ("a", VAL): 20, ("a", TEST): 30, ("b", TRAIN): 4, ("b", VAL): 1, ("b", TEST): 2,
    }  # fmt: skip
    assert remarks == ("the data has no splits: drew 54 train, 21 val, 32 test with split_seed 1",)


def test_shares_are_of_units_not_of_samples() -> None:
    rows = [(f"{unit}.{copy}", "a", str(unit)) for unit in range(10) for copy in range(20 if unit == 3 else 1)]
    splits, _ = drawn(rows, 1, 0.2, 0.3)
    assert Counter(split for _, split in by_unit(rows, splits)) == {TRAIN: 5, VAL: 2, TEST: 3}


def test_another_seed_draws_another_split() -> None:
    rows = [(str(n), "a", str(n)) for n in range(50)]
    assert drawn(rows, 1, 0.2, 0.3)[0] != drawn(rows, 2, 0.2, 0.3)[0]
    assert few(rows, 1, 9)[0] != few(rows, 2, 9)[0]


def test_tiny_classes_are_named() -> None:
    rows = own([("1", "one", ""), *[(f"2{n}", "two", "") for n in range(2)], *[(f"s{n}", "six", "") for n in range(6)]])
    splits, remarks = drawn(rows, 1, 0.2, 0.3)
    assert splits["1"] == TRAIN
    assert remarks[1:] == ("1 class is too small for a test image: 'one'", "2 classes are too small for a val image: 'one', 'two'")


def test_without_a_val_share_no_class_lacks_one() -> None:
    assert len(drawn([("a", "x", "a"), ("b", "x", "b")], 1, 0.0, 0.5)[1]) == 1


def test_shares_that_leave_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="leave no training images"):
        drawn([("a", "x", "a")], 1, 0.5, 0.5)


def test_splits_stay_what_they_were() -> None:
    """Golden: a change here re-draws every user's split."""
    rows = own([(f"img/{n}.jpg", "a", "") for n in range(8)])
    splits, _ = drawn(rows, 1, 0.25, 0.25)
    assert "".join(splits[f"img/{n}.jpg"][:2] for n in range(8)) == "vatrtrtrtetetrva"
    left_out, _ = few(rows, 1, 3)
    assert "".join("-" if f"img/{n}.jpg" in left_out else "+" for n in range(8)) == "---+-++-"


@given(st.lists(st.tuples(st.integers(0, 3), st.none() | st.integers(0, 30)), min_size=1, max_size=30), seeds, shares)
def test_contents_are_drawn_as_their_hexadecimal_digits(found: list[tuple[int, int | None]], seed: int, share: tuple[float, float]) -> None:
    """In columns they are bytes, and names stand among them where no content is known."""
    ids = [("0f" * 32 if number % 2 else "f" * 64) + str(number) for number in range(len(found))]
    samples = having((Sample(name, Path(name), label, "") for name, (label, _) in zip(ids, found, strict=True)), map(told, found))
    units = Units.of_samples(samples)
    words = [told(row) or name for row, name in zip(found, ids, strict=True)]
    assert [list(units)[number] for number in units.numbers] == words
    assert sorted(units) == [word for _, word in sorted(zip(units.places().tolist(), units, strict=True))]
    classes = list("abcd")
    expected, said = draw_splits(samples.labels, Units.of(column(words)), classes, seed, *share)
    splits, remarks = draw_splits(samples.labels, units, classes, seed, *share)
    assert splits.tolist() == expected.tolist()
    assert remarks == said


def told(row: tuple[int, int | None]) -> str | None:
    return None if row[1] is None else digest(str(row[1]))
