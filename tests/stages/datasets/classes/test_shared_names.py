"""Class names that are there twice are told apart, and classes with one text are named."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmap.stages.datasets.classes.shared_names import sharing, sharing_said, told_apart


@pytest.mark.failure("odd label")
@pytest.mark.parametrize(
    ("names", "apart"),
    [
        (["ant", "bee"], ("ant", "bee")),
        (["cougar", "face", "cougar"], ("cougar", "face", "cougar (2)")),
        (["crane", "crane", "crane"], ("crane", "crane (2)", "crane (3)")),
        (["crane", "crane (2)", "crane"], ("crane", "crane (2)", "crane (3)")),
        (["crane", "crane", "crane (2)"], ("crane", "crane (3)", "crane (2)")),
        (["a", "a (2)", "a (2)", "a"], ("a", "a (2)", "a (2) (2)", "a (3)")),
        (["é", "e\u0301"], ("é", "e\u0301 (2)")),
        (["ant", "Ant"], ("ant", "Ant")),
    ],
)
def test_names_are_told_apart(names: list[str], apart: tuple[str, ...]) -> None:
    assert told_apart(names) == apart


@given(st.lists(st.sampled_from(["a", "b", "a (2)", "a (3)", "b (2)", "é", "e\u0301"]), max_size=12))
def test_names_end_up_different_and_stay_so(names: list[str]) -> None:
    apart = told_apart(names)
    assert len({unicodedata.normalize("NFC", name) for name in apart}) == len(names)
    assert all(other.startswith(name) for name, other in zip(names, apart, strict=True))
    assert told_apart(apart) == apart


def test_classes_with_one_text_are_named() -> None:
    texts = np.asarray([[1, 0], [0, 1], [1, 0], [0, 1], [1, 1]], np.float16)
    groups = sharing(["crane", "maillot", "crane (2)", "tank suit", "tench"], texts)
    assert groups == [("crane", "crane (2)"), ("maillot", "tank suit")]
    assert sharing_said(groups) == (
        "classes with one text, so that zero-shot cannot tell them apart: 'crane' = 'crane (2)'; 'maillot' = 'tank suit'",
    )
    assert sharing_said(sharing(["a", "b"], texts[:2])) == ()
