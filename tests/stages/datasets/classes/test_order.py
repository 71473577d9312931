"""The order of classes: by code point, and by value where all are numbers."""

from __future__ import annotations

import random

import pytest

from xmap.stages.datasets.classes.order import all_numbers, in_order


@pytest.mark.parametrize(
    "ordered",
    [
        [str(number) for number in range(112)],
        [f"{number:03}" for number in range(1, 12)],
        ["003", "10", "0200"],
        ["0", "1.5", "2.0", "10.0"],
        ["-1", "0", "+1", "9", "10"],
        ["3", "9" * 30, "1" + "0" * 30, "9" * 900],
        ["03", "3", "4"],
        ["class1", "class10", "class2"],
        ["10", "9", "a"],
        ["10", "9", "٣"],
        ["1.2.10", "1.2.9"],
        ["10", "9", "nan"],
    ],
    ids=lambda ordered: " ".join(ordered)[:30],
)
def test_numbers_are_ordered_as_numbers_and_names_as_names(ordered: list[str]) -> None:
    mixed = random.Random(7).sample(ordered, len(ordered))  # noqa: S311
    assert in_order(mixed) == ordered


def test_whole_numbers_alone_are_label_numbers() -> None:
    assert all_numbers(["0", "007", "12", "3.0"])
    assert not any(all_numbers([other]) for other in ("a", "-1", "1.5", "٣", "1 "))
