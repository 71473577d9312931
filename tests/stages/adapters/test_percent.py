"""No answer is printed as certain, and none as impossible."""

from __future__ import annotations

import pytest

from xmap.stages.adapters.percent import percent

CASES = {
    1.0: ">99.9",
    0.99999994: ">99.9",
    0.9996: ">99.9",
    0.9994: "99.9",
    0.973: "97.3",
    0.5: "50.0",
    0.001: "0.1",
    0.0004: "<0.1",
    1e-30: "<0.1",
    0.0: "<0.1",
}


@pytest.mark.parametrize(("probability", "text"), CASES.items())
def test_a_probability_in_percent(probability: float, text: str) -> None:
    assert percent(probability) == text


def test_the_bounds_follow_the_digits() -> None:
    assert [percent(0.999999, 2), percent(0.9996, 2), percent(0.000001, 2)] == [">99.99", "99.96", "<0.01"]
    assert [percent(0.999, 0), percent(0.001, 0)] == [">99", "<1"]
