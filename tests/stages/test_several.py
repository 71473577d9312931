"""Settings of several values: each way of giving them is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter, ValidationError

from xmap.stages.several import FILES, MOST, NAMES, NUMBERS, TEXTS, every

Numbers: TypeAdapter[tuple[int, ...]] = TypeAdapter(Annotated[tuple[int, ...], NUMBERS])
Names: TypeAdapter[tuple[str, ...]] = TypeAdapter(Annotated[tuple[str, ...], NAMES])
Texts: TypeAdapter[tuple[str, ...]] = TypeAdapter(Annotated[tuple[str, ...], TEXTS])
Files: TypeAdapter[tuple[str, ...]] = TypeAdapter(Annotated[tuple[str, ...], FILES])


@pytest.mark.parametrize(
    "given", [
        "1,2,3", " 1, 2 ,3,", "1-3", "1 - 2,2-3", ["1", "2,3"], ["1-3"], [1, 2, 3], (1.0, 2, "3"), range(1, 4), [1, 2, 3, 1], "1,1,2,3",
    ]
)  # fmt: skip
def test_numbers(given: Any) -> None:
    assert Numbers.validate_python(given) == (1, 2, 3)


@pytest.mark.parametrize(
    "given", ["a", "1.5", "3-1", f"0-{MOST}", "1-999999999999999999", "-1-2", "1-", "1--2", "1-2-3", {"a": 1}, None, b"1", [[1]]]
)
def test_what_is_no_number_is_refused(given: Any) -> None:
    with pytest.raises(ValidationError):
        Numbers.validate_python(given)


@pytest.mark.parametrize("given", ["b,a", "b, a,", ["b", "a"], ("b,a",), ["b", "b,a"]])
def test_names_keep_their_order_and_count_once(given: Any) -> None:
    assert Names.validate_python(given) == ("b", "a")


def test_texts_hold_commas_and_count_each_time() -> None:
    assert Texts.validate_python("a {}, drawn") == ("a {}, drawn",)
    assert Texts.validate_python(["a {}", "a {}"]) == ("a {}", "a {}")


@pytest.mark.parametrize(
    ("given", "found"), [("a,b.csv", ("a,b.csv",)), (Path("x.csv"), ("x.csv",)), ([Path("x"), "y", "x"], ("x", "y", "x")), ("", ())]
)
def test_files_are_given_one_by_one(given: Any, found: tuple[str, ...]) -> None:
    assert Files.validate_python(given) == found


def test_all_stands_for_every_known_name_in_its_place() -> None:
    assert every(("c", "all"), ("a", "b", "c")) == ("c", "a", "b")
    assert every(("x",), ("a",)) == ("x",), "what is not known is for its reader to refuse"
