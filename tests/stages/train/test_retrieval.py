"""Training on retrieved keys: as the dense formula where all are retrieved, and never more than a batch of them at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stages.train.test_stage import scene
from tests.worlds.few_shot import random_labelled, random_support, random_text
from xmap.stages.adapters.files import load_adapter
from xmap.stages.fewshot.cache import OpenCache
from xmap.stages.fewshot.task import FewShotTask, KeyIndex
from xmap.stages.machine.memory import available_bytes
from xmap.stages.methods import tip_adapter
from xmap.stages.methods.protocol import Cache, NoLog
from xmap.stages.methods.registry import method_entry
from xmap.stages.names import Parts
from xmap.stages.train.identity import TrainSpec, adapter_identity
from xmap.stages.train.log import logged_rows
from xmap.stages.train.stage import require_room
from xmap.store.artifacts.artifact import Artifact
from xmap.store.artifacts.identity import Identity
from xmap.store.errors import InputError
from xmap.store.formats.index import VectorIndex
from xmap.store.formats.log import read_values
from xmap.store.formats.tables import read_table

OPTIONS: Any = method_entry("tip-adapter").options()


def in_index(task: FewShotTask, k: int) -> FewShotTask:
    """The same task with its keys in an exact index."""
    index = KeyIndex(VectorIndex.build(task.support.keys.numpy()), task.segments, k)
    return FewShotTask(task.text, task.support, task.validation, task.seed, "validation", index)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=2, max_size=5), st.integers(0, 99))
def test_all_keys_retrieved_are_the_dense_formula(counts: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    text, support = random_text(len(counts), 6, random), random_support(counts, 6, random)
    validation = random_labelled(20, len(counts), 6, random)
    task = FewShotTask(text, support, validation, 1, "validation")
    sparse = in_index(task, len(support))
    given_settings = {"alpha": 1.7, "beta": 4.0}
    for chosen in (None, given_settings):
        one, two = (tip_adapter.fit(each, OPTIONS, chosen, NoLog()) for each in (task, sparse))
        assert not two.tensors
        assert two.settings["top_k"] == len(support)
        if chosen:
            queries = validation.features
            dense, few = (tip_adapter.scores(fitted, Cache.of(each), queries) for fitted, each in ((one, task), (two, sparse)))
            torch.testing.assert_close(dense.logits, few.logits, atol=1e-4, rtol=1e-4)
        else:
            assert one.selection.accuracy == pytest.approx(two.selection.accuracy)


def test_a_retrieving_adapter_keeps_no_keys_and_logs_what_the_dense_one_does(tmp_path: Path) -> None:
    here = scene(tmp_path)
    dense, sparse = here.train("tip-adapter"), here.train("tip-adapter", top_k=16)
    assert [entry["name"] for entry in sparse.manifest["files"]] == [
        "adapter.safetensors",
        "affinity/train.parquet",
        "kept.parquet",
        "out_of_sample.parquet",
    ]
    assert sparse.summary["settings"] == {**dense.summary["settings"], "top_k": 16}
    assert sparse.summary["examination"] == dense.summary["examination"]
    fitted, cache = load_adapter(sparse, OpenCache(here.cache, here.texts))
    features = torch.eye(8)
    found = tip_adapter.scores(fitted, cache, features).logits
    torch.testing.assert_close(found, tip_adapter.scores(*load_adapter(dense, OpenCache(here.cache, here.texts)), features).logits)
    rows = [read_table(found.files(prefix="affinity/")).to_pylist() for found in (dense, sparse)]
    for one, two in zip(*rows, strict=True):
        assert (one["sample_id"], one["predicted"], one["neighbor_agreement"]) == (
            two["sample_id"],
            two["predicted"],
            two["neighbor_agreement"],
        )
        assert [near["sample_id"] for near in one["neighbors"]] == [near["sample_id"] for near in two["neighbors"]]
        assert one["affinity_image"] == pytest.approx(two["affinity_image"], rel=1e-3)


def test_of_a_large_support_the_log_tells_of_samples_at_even_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = scene(tmp_path)
    whole = read_table(here.train("tip-adapter", top_k=5).files(prefix="affinity/")).to_pylist()
    monkeypatch.setattr("xmap.stages.train.log.LOGGED", 7)
    again = here.train("tip-adapter", seed=1, top_k=5, number=2)
    ids = read_values(here.cache.file("values.parquet")).sample_ids
    part = read_table(again.files(prefix="affinity/")).to_pylist()
    assert [row["sample_id"] for row in part] == [ids[row] for row in logged_rows(16)]
    by_id = {row["sample_id"]: row for row in whole}
    for row in part:
        assert {**row, "run": ""} == {**by_id[row["sample_id"]], "run": ""}


def identity_with(method: str, top_k: Any) -> Identity:
    cache = Identity("cache", "toy", {"shots": 4}, {"texts": "t"})
    return adapter_identity(
        Parts("toy", {"train": "f", "val": "v"}), cache, TrainSpec(method, method_entry(method).options(), 1, top_k=top_k)
    )


def test_the_top_k_is_part_of_what_is_trained_on_it_alone() -> None:
    assert identity_with("tip-adapter", 5).fields["top_k"] == 5
    assert "top_k" not in identity_with("tip-adapter", "all").fields
    assert identity_with("tip-adapter-f", 5) == identity_with("tip-adapter-f", "all")


def test_keys_beyond_the_memory_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = scene(tmp_path)
    require_room("tip-adapter-f", here.cache, 8)
    monkeypatch.setattr("xmap.stages.train.stage.available_bytes", lambda: 100)
    with pytest.raises(InputError, match="--top-k") as caught:
        here.train("tip-adapter-f")
    assert "\n" not in str(caught.value)
    assert isinstance(here.train("tip-adapter", top_k=3), Artifact)
    assert available_bytes() is None or available_bytes()
