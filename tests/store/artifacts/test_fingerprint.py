"""A fingerprint depends on the declared fields and on nothing else."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmap.store.artifacts.fingerprint import Change, canonical, explain, fingerprint
from xmap.store.artifacts.identity import Identity

# No dots in names: a dotted name is how `explain` writes a nested field.
names = st.text(st.characters(exclude_characters=".", exclude_categories=["Cs"]), min_size=1, max_size=6)
scalars = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8)
fields = st.dictionaries(names, values, max_size=5)

EXAMPLE = Identity(
    "images",
    "pets",
    {
        "version": 1,
        "model": "ViT-B-32",
        "quick_gelu": True,
        "mean": [0.48145466, 0.4578275],
        "templates": ["a photo of a {}."],
        "revision": None,
    },
    {"data": "00" * 32},
)
# Changing this line makes every artifact of every user stale: raise a schema version instead, and say so in the release notes.
GOLDEN = "09dae246841775c66b6c26bc5eba9f5cbc66ff68e2cf93717b377b3b4916d800"


def test_golden_fingerprint() -> None:
    assert EXAMPLE.fingerprint == GOLDEN
    assert EXAMPLE.folder == f"pets-{GOLDEN[:8]}"


@given(fields, st.randoms(use_true_random=False))
def test_order_of_fields_does_not_matter(declared: dict, order: random.Random) -> None:
    items = list(declared.items())
    order.shuffle(items)
    assert fingerprint(dict(items)) == fingerprint(declared)


@given(fields, fields)
def test_explain_is_empty_exactly_when_fingerprints_agree(before: dict, after: dict) -> None:
    changes = explain(before, after)
    assert (changes == []) == (fingerprint(before) == fingerprint(after))
    assert [change.field for change in changes] == sorted(change.field for change in changes)


@given(fields.filter(bool), st.data())
def test_each_changed_field_changes_it_and_is_named(declared: dict, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(declared)))
    other = data.draw(values.filter(lambda value: canonical(value) != canonical(declared[name])))
    changed = {**declared, name: other}
    assert fingerprint(changed) != fingerprint(declared)
    assert {change.field.split(".")[0] for change in explain(declared, changed)} == {name}


@given(fields.filter(bool), st.data())
def test_an_absent_field_is_not_a_null_one(declared: dict, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(declared)))
    without = {key: value for key, value in declared.items() if key != name}
    assert fingerprint(without) != fingerprint(declared)
    assert explain(without, declared)


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), (1, True), (0, False), ("1", 1), ([], {}), (0.0, -0.0)])
def test_values_equal_to_python_alone_differ(one: Any, other: Any) -> None:
    assert fingerprint({"a": one}) != fingerprint({"a": other})
    assert explain({"a": one}, {"a": other}) == [Change("a", one, other)]


def test_a_tuple_is_a_list() -> None:
    assert fingerprint({"a": (1, (2,))}) == fingerprint({"a": [1, [2]]})
    assert explain({"a": (1, 2)}, {"a": [1, 2]}) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_cannot_say_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        fingerprint({"a": value})


def test_a_change_reads_as_one_line() -> None:
    before: dict[str, Any] = {"shots": 4, "weights": "a" * 64, "prompt": "x"}
    after: dict[str, Any] = {"shots": 16, "weights": "b" * 64}
    assert [str(change) for change in explain(before, after)] == [
        'prompt: "x" -> null',
        "shots: 4 -> 16",
        "weights: aaaaaaaa -> bbbbbbbb",
    ]
    assert str(Change("text", "x" * 100, "")).endswith('... -> ""')


def test_only_stage_fields_and_inputs_enter() -> None:
    same = Identity(EXAMPLE.stage, "another name", dict(reversed(EXAMPLE.fields.items())), EXAMPLE.inputs, command="xmap other")
    assert same.fingerprint == EXAMPLE.fingerprint
    assert Identity("texts", "pets", EXAMPLE.fields, EXAMPLE.inputs).fingerprint != EXAMPLE.fingerprint
    assert Identity("images", "pets", EXAMPLE.fields, {"data": "01" * 32}).fingerprint != EXAMPLE.fingerprint
