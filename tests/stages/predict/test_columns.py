"""Tables of answers: each row says what the prediction of that image says."""

from __future__ import annotations

from typing import Any

import pytest

from tests.worlds.answers import some_answers
from xmap.stages.predict.columns import ALL, MOST, listed, schema_of, stored_table, table_of
from xmap.stages.predict.prediction import Asked
from xmap.store.formats.answers import ANSWERS, free_names


def as_row(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts as a row of the table has them."""
    chances = [{"class": name, "probability": chance} for name, chance in facts.get("probabilities", {}).items()]
    path = facts["path"].encode("utf-8", "backslashreplace").decode()
    return {**facts, "path": path, "probabilities": chances}


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize(("classes", "top"), [(4, None), (4, 2), (1, None), (ALL, None), (ALL + 1, None), (ALL + 1, 30)])
def test_rows_are_the_facts_of_predictions(classes: int, top: int | None, full: bool) -> None:
    answers = some_answers(classes, full=full)
    table = table_of(answers, Asked(neighbors=3, encoders=("first", "second")) if full else Asked(), top)
    for row, prediction in zip(table.to_pylist(), answers, strict=True):
        facts = as_row(prediction.facts(full, listed(top, classes)))
        assert {name: value for name, value in row.items() if value is not None} == {
            name: value for name, value in facts.items() if value is not None
        }
    assert len(table["probabilities"][0]) == (MOST if top is None and classes > ALL else min(top or classes, classes))


def test_columns_do_not_change_with_what_is_in_them() -> None:
    asked = Asked()
    assert table_of(some_answers(full=False), asked).schema == schema_of(asked, None)
    about = {"name": "holiday", "run": "r", "method": "m", "seed": 1}
    assert stored_table(some_answers(), about, []).schema == stored_table(some_answers(full=False), about, []).schema == ANSWERS
    stored = stored_table(some_answers(), about, ["{}"] * 40)
    assert stored.select(["name", "given"]).slice(39).to_pylist() == [{"name": "holiday", "given": "{}"}]


def test_a_users_column_gives_way_to_ours() -> None:
    assert free_names(["price", "Class", "given_class", "price"]) == ["price", "given_Class", "given_given_class", "given_price"]
    assert free_names(["encoder_said", "pool"]) == ["given_encoder_said", "given_pool"]
