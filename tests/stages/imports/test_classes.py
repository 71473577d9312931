"""Labels to classes: names, numbers with and without names, and rows that have none."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from xmap.stages.imports.classes import Known, classes_of
from xmap.store.errors import InputError

NAMES = ("ant", "bee", "cat")


@pytest.mark.parametrize(
    ("labels", "known", "names", "found"),
    [
        (["bee", "ant", "bee"], Known(), ("ant", "bee"), [1, 0, 1]),
        ([1, 0, 1], Known(), ("0", "1"), [1, 0, 1]),
        ([10, 9, 10], Known(), ("9", "10"), [1, 0, 1]),
        (["10", "9", "010"], Known(), ("9", "10"), [1, 0, 1]),
        ([1.0, None, 0.0], Known(), ("0", "1"), [1, -1, 0]),
        ([1.0, float("nan"), 0.0], Known(), ("0", "1"), [1, -1, 0]),
        ([True, False, True], Known(), ("False", "True"), [1, 0, 1]),
        (["bee", "", None, "ant"], Known(), ("ant", "bee"), [1, -1, -1, 0]),
        ([2, 0, 2], Known(NAMES), ("ant", "cat"), [1, 0, 1]),
        ([2, -1, 0], Known(NAMES, hollow=True), ("ant", "cat"), [1, -1, 0]),
        ([2, 0, 2], Known(texts=4), ("0", "2"), [1, 0, 1]),
        ([None, None], Known(), (), [-1, -1]),
        ([-1, -1], Known(NAMES, hollow=True), (), [-1, -1]),
    ],
)
def test_labels_are_read(labels: list[object], known: Known, names: tuple[str, ...], found: list[int]) -> None:
    classes = classes_of(pa.array(labels), "a", known)
    assert (classes.names, classes.labels.tolist()) == (names, found)


@pytest.mark.parametrize(
    ("labels", "known", "said"),
    [
        (
            [1, 3, 0],
            Known(NAMES),
            "row 1 has the label 3, out of range; class numbers count from 0 and there are 3 class",
        ),
        (
            [1, 2, 3],
            Known(texts=3),
            "row 2 has the label 3, out of range; class numbers count from 0 and there are 3 class",
        ),
        ([1, -1, 0], Known(), "row 1 has the label -1, out of range"),
        ([1, -1, 0], Known(NAMES), "row 1 has the label -1, out of range"),
        ([1.5, 1.0], Known(), "row 0 has the label 1.5, out of range"),
        (["a\nb", "c"], Known(), "row 0 has the label 'a\\nb', it holds a control character or a line end"),
        (["[1, 2]", "c"], Known(), "it is a list or an object written as text"),
        ([b"a", b"b"], Known(), "it is of the kind bytes"),
        ([["a"], ["b"]], Known(), "its labels are list<"),
        (["a", "a"], Known(), "has one class, 'a'"),
    ],
)
@pytest.mark.failure("odd label")
def test_labels_that_cannot_be_used_are_named(labels: list[object], known: Known, said: str) -> None:
    with pytest.raises(InputError) as caught:
        classes_of(pa.array(labels), "a", known)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_that_differ_in_blanks_or_case_alone_are_said() -> None:
    found = classes_of(pa.array(["ant", "ant ", "bee", "Bee"]), "a", Known())
    assert found.names == ("Bee", "ant", "bee")
    assert "labels that differ in blanks or encoding alone are one class: 'ant', 'ant '" in found.remarks
    assert any("differ by case alone" in remark for remark in found.remarks)


def test_a_file_names_numbers_and_says_the_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("zebra\nbee\ncat\n")
    numbers = classes_of(pa.array([2, 0]), "a", Known(file=str(tmp_path / "names.txt")))
    assert (numbers.names, numbers.places is not None and numbers.places.tolist(), numbers.listed) == (("zebra", "cat"), [0, 2], 3)
    assert "1 classes without images were left out: 'bee'" in numbers.remarks
    names = classes_of(pa.array(["bee", "cat", "zebra"]), "a", Known(file=str(tmp_path / "names.txt")))
    assert (names.names, names.labels.tolist()) == (("zebra", "bee", "cat"), [1, 2, 0])
    with pytest.raises(InputError, match="names 3 classes, the data has 5"):
        classes_of(pa.array([4, 0]), "a", Known(file=str(tmp_path / "names.txt")))


def test_the_order_of_names_is_unknown_without_a_file() -> None:
    assert classes_of(pa.array(["bee", "ant"]), "a", Known()).places is None
