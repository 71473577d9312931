"""What is said of a pool."""

from __future__ import annotations

import pytest

from xmap.stages.adapters.pool_words import pool_words


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"images": 1200, "shares": "free"}, "a pool of 1,200 images without labels, class shares free"),
        (
            {"images": 1, "shares": "estimated", "together": True},
            "a pool of 1 image without a label, the one asked about together, class shares estimated",
        ),
    ],
)
def test_a_pool_is_said_by_its_number_of_images(facts: dict[str, object], said: str) -> None:
    assert pool_words(facts) == said
