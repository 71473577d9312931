"""Answers kept in the store under a name: the same artifact for the same question, read by SQL, refused where it is odd."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.worlds.answers import some_answers
from xmap.stages.predict.answers import Answers
from xmap.stages.predict.identity import answers_identity, pool_print
from xmap.stages.predict.prediction import Asked
from xmap.stages.predict.stage import given_rows, keep_answers
from xmap.stages.workplace.place import Workplace
from xmap.store.artifacts.artifact import Artifact, Draft, Store
from xmap.store.artifacts.identity import Identity
from xmap.store.errors import ArtifactDamaged
from xmap.store.memory.hashes import DIGEST
from xmap.store.sql.connection import connect

ASKED = Asked(neighbors=3)


@pytest.fixture
def adapter(tmp_path: Path) -> Artifact:
    with Store(tmp_path).build(Identity("adapter", "toy", {})) as held:
        assert isinstance(held, Draft)
        return held.commit({"method": "xmadapter", "seed": 1, "dataset": "toy"})


def kept(adapter: Artifact, found: list[Answers], name: str = "holiday", pool: str = "p") -> Artifact:
    store = Store(adapter.root)
    identity = answers_identity(name, adapter, {"images": pool}, ASKED, None, "xmap predict")
    assert list(keep_answers(Workplace(store), identity, adapter, found, ASKED, None)) == found
    return store.require(identity)


def test_sql_reads_what_was_kept(adapter: Artifact) -> None:
    found = [some_answers(seed=0), some_answers(seed=1)]
    kept(adapter, found)
    kept(adapter, [some_answers(full=False)], "other")
    with connect(adapter.root) as connection:
        rows = connection.query("select * from answers where name = 'holiday'").to_pylist()
        prices = connection.query("select (given->>'price')::int as price from answers where name = 'holiday'")["price"].to_pylist()
        asked = connection.query("answers").to_pylist()
        unsure = connection.query("unsure-answers").to_pylist()
    said = [prediction for batch in found for prediction in batch]
    assert [row["class"] for row in rows] == [None if one.error else one.class_name for one in said]
    assert [row["error"] for row in rows] == [one.error and one.error.kind for one in said]
    assert [row["set"] and tuple(row["set"]) for row in rows] == [None if one.error else one.prediction_set for one in said]
    assert {(row["run"], row["method"], row["seed"], row["dataset"]) for row in rows} == {(adapter.path.name, "xmadapter", 1, "toy")}
    assert prices == [*range(40)] * 2
    assert {row["name"]: sum(r["images"] for r in asked if r["name"] == row["name"]) for row in asked} == {"holiday": 80, "other": 40}
    leads = [row["percent"] - row["second_percent"] for row in unsure]
    assert all(after > before - 0.2 for before, after in pairwise(leads))


def test_the_summary_counts_what_was_said(adapter: Artifact) -> None:
    found = some_answers()
    facts = kept(adapter, [found]).summary
    said = list(found)
    assert facts["samples"] == 40
    assert facts["bad"] == sum(one.error is not None for one in said) > 0
    assert facts["rejected"] == sum(one.rejected for one in said) > 0
    assert facts["known"] == sum(bool(one.known) for one in said if not one.error)
    assert facts["answered"] == {name: count for name in found.classes if (count := sum(one.class_name == name for one in said))}


def test_the_same_question_of_the_same_pool_is_one_artifact(adapter: Artifact) -> None:
    first = kept(adapter, [some_answers()])
    assert kept(adapter, [some_answers(seed=3)]).manifest == first.manifest
    assert kept(adapter, [some_answers()], pool="q").fingerprint != first.fingerprint


def test_what_is_cut_off_is_no_artifact(adapter: Artifact) -> None:
    def ending() -> Iterator[Answers]:
        yield some_answers()
        raise ZeroDivisionError

    identity = answers_identity("holiday", adapter, {}, ASKED, None, "xmap predict")
    with pytest.raises(ZeroDivisionError):
        list(keep_answers(Workplace(Store(adapter.root)), identity, adapter, ending(), ASKED, None))
    assert Store(adapter.root).find(identity) is None


def test_a_pool_is_its_names_contents_and_rows() -> None:
    contents = np.array([b"\1" * 32, b"\2" * 32], DIGEST)
    prints = {
        pool_print(["a", "b"], contents), pool_print(["ab", ""], contents), pool_print(["b", "a"], contents),
        pool_print(["a", "b"], contents[::-1]), pool_print(["a", "b"], contents, ["{}", "{}"]), pool_print(["a", "b\udcff"], contents),
    }  # fmt: skip
    assert len(prints) == 6


def test_rows_of_a_table_are_json() -> None:
    table = pa.table({"a": [1.5, float("nan")], "b": [b"\xff", None], "c": [[float("inf")], []]})
    table = table.append_column("d", pa.array([[("x", float("nan"))], None], pa.map_(pa.string(), pa.float64())))
    assert given_rows(table) == ['{"a": 1.5, "b": "ff", "c": [null], "d": [["x", null]]}', '{"a": null, "b": null, "c": [], "d": null}']
    assert given_rows(None) == []


@pytest.mark.parametrize("odd", [{"answered": {"zebra": 1}}, {"answered": {"c0": 41}}, {"samples": -1}, {"promises": [1]}])
def test_an_odd_manifest_is_refused(adapter: Artifact, odd: dict[str, Any]) -> None:
    with Store(adapter.root).build(Identity("answers", "odd", {}, {"adapter": adapter.fingerprint})) as held:
        assert isinstance(held, Draft)
        held.commit({"classes": ["c0"], "samples": 40, "bad": 0, "answered": {"c0": 1}, "promises": [], **odd})
    survey = Store(adapter.root).survey("answers")
    assert not survey.artifacts
    assert all(isinstance(error, ArtifactDamaged) for error in survey.damaged.values())
