"""How probable given labels are to what never learned them: against a slow version, and what must not count."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from tests.stages.train.test_stage import Scene, scene
from tests.worlds.small_task import small_task, softmax, unit
from xmap.stages.adapters.kept import OUT_OF_SAMPLE
from xmap.stages.adapters.neighbors import nearest_others
from xmap.stages.fewshot.cache import OpenCache
from xmap.stages.fewshot.draw import NOTHING_KEPT
from xmap.stages.fewshot.task import FewShotTask
from xmap.stages.methods.protocol import NoLog
from xmap.stages.methods.protocol import method as load_method
from xmap.stages.methods.registry import method_entry
from xmap.stages.train.calibration import calibrate_by_folds
from xmap.stages.train.out_of_sample import SHARPNESS, VOTES, Votes, fit_weights, judge_support
from xmap.stages.train.stage import _kept
from xmap.store.formats.index import Neighbors, VectorIndex
from xmap.store.formats.log import Values
from xmap.store.formats.tables import read_table
from xmap.store.sql.connection import connect


class Cached:
    """What of an open cache is asked for: the classes of its keys, and the stage of its texts."""

    def __init__(self, task: FewShotTask, stage: str = "texts") -> None:
        labels = task.support.labels.numpy().astype(np.int32)
        self.values = Values(task.support.sample_ids, labels, tuple(task.text.names[label] for label in labels))
        self.texts = type("Texts", (), {"stage": stage})()


def opened(task: FewShotTask, stage: str = "texts") -> OpenCache:
    return cast(OpenCache, Cached(task, stage))


def near(task: FewShotTask, k: int = 5) -> Neighbors:
    keys = task.support.keys.numpy()
    return nearest_others(VectorIndex.build(keys, "Flat"), keys, k, np.arange(len(keys)))


def slow_sides(task: FewShotTask, k: int = 5) -> np.ndarray:
    """Text logits and votes (M, N, 2), one sample and key at a time."""
    keys, labels = unit(task.support.views.double().mean(1).numpy()), task.support.labels.tolist()
    plain, texts = unit(task.support.views[:, 0].double().numpy()), task.text.weights.double().numpy()
    found = np.zeros((len(keys), len(texts), 2))
    for row in range(len(keys)):
        found[row, :, 0] = task.text.logit_scale * texts @ plain[row]
        others = sorted((other for other in range(len(keys)) if other != row), key=lambda other: -keys[row] @ keys[other])[:k]
        nearer = {other: np.exp(SHARPNESS * (keys[row] @ keys[other] - keys[row] @ keys[others[0]])) for other in others}
        for other in others:
            found[row, labels[other], 1] += VOTES * nearer[other] / sum(nearer.values())
    return found


def test_support_is_judged_as_in_a_slow_version() -> None:
    task = small_task((4, 5, 3), seed=3, views=2)
    split, samples, chances = judge_support(task, opened(task), near(task))
    sides = slow_sides(task)
    weights = fit_weights(torch.from_numpy(sides), task.support.labels)
    assert (split, samples.sample_ids) == ("train", task.support.sample_ids)
    np.testing.assert_allclose(chances.numpy(), softmax(sides @ weights.numpy()), atol=1e-4)


def test_the_weights_are_the_best_that_are_not_negative() -> None:
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    good = torch.nn.functional.one_hot(labels, 3).double()
    good[0] = torch.tensor([0.0, 1.0, 0.0])
    sides = torch.stack([good, -good], 2)

    def loss(weights: np.ndarray) -> float:
        logits = sides @ torch.from_numpy(weights)
        return float((logits.logsumexp(1) - logits.gather(1, labels[:, None])[:, 0]).sum() + ((weights - 1) ** 2).sum() / 2)

    found = fit_weights(sides, labels).numpy()
    assert (found >= 0).all()
    grid = [np.array([one, two]) for one in np.linspace(0, 4, 81) for two in np.linspace(0, 4, 81)]
    assert loss(found) <= min(map(loss, grid)) + 1e-9


def test_votes_that_always_contradict_are_not_turned_round() -> None:
    """With one shot no other key is of the sample's class: votes against it are no word for it."""
    task = small_task((1,) * 6, seed=1)
    votes = Votes(task, opened(task), near(task))
    sides = torch.cat(list(votes.sides(torch.arange(6))))
    weights = fit_weights(sides, task.support.labels)
    assert float(weights[1]) == 0.0 < float(weights[0])


def test_a_label_says_nothing_of_itself() -> None:
    """What speaks of a sample is the same whatever its own label is."""
    task = small_task((4, 4, 4), seed=5)
    labels = task.support.labels.clone()
    labels[2] = 1
    other = replace(task, support=replace(task.support, labels=labels))
    sides = [torch.cat(list(Votes(each, opened(each), near(task)).sides(torch.tensor([2])))) for each in (task, other)]
    assert torch.equal(*sides)


def test_what_belongs_together_is_no_witness_and_tuned_texts_are_none() -> None:
    task = small_task((3, 3), seed=2)
    grouped = replace(task, support=replace(task.support, groups=("g",) * 3 + ("", "", "")))
    sides = torch.cat(list(Votes(grouped, opened(grouped), near(task)).sides(torch.tensor([0]))))
    assert sides[0, :, 1].tolist() == pytest.approx([0.0, VOTES]), "the others of its group are of its class"
    alone = replace(task, support=replace(task.support, groups=("g",) * 6))
    assert not torch.cat(list(Votes(alone, opened(alone), near(task)).sides(torch.arange(6))))[:, :, 1].any()
    assert next(iter(Votes(task, opened(task, "coop"), near(task)).sides(torch.arange(6)))).shape == (6, 2, 1)


def test_what_tuned_texts_say_of_their_own_support_bears_no_promise() -> None:
    task, module, options = small_task((4, 4, 4)), load_method("tip-adapter"), method_entry("tip-adapter").options()
    nothing, fitted = (None, NOTHING_KEPT), module.fit(task.without_validation(), options, None, NoLog())
    for stage, source in (("texts", OUT_OF_SAMPLE), ("coop", NOTHING_KEPT)):
        calibration, folded = calibrate_by_folds(module, fitted, task, options)
        kept = _kept(module, fitted, task, opened(task, stage), nothing, folded)
        assert (calibration.samples, kept.source, len(kept)) == (12, source, 12 if source == OUT_OF_SAMPLE else 0)


def rows(here: Scene, **options: Any) -> list[dict[str, Any]]:
    adapter = here.train("tip-adapter", **options)
    found: list[dict[str, Any]] = read_table(adapter.file("out_of_sample.parquet")).to_pylist()
    return found


def test_an_adapter_keeps_what_is_said_of_support_and_validation(tmp_path: Path) -> None:
    here = scene(tmp_path)
    found = rows(here)
    assert [sum(row["split"] == split for row in found) for split in ("train", "val", "test")] == [16, 16, 0]
    assert all(0 <= row["label_probability"] <= row["likely_probability"] <= 1 for row in found)
    assert all((row["likely"] == row["label"]) == (row["label_probability"] == row["likely_probability"]) for row in found)
    with connect(tmp_path) as connection:
        (counts,) = connection.query("select count(*) as n, count(likely_name) as named from out_of_sample").to_pylist()
    assert counts == {"n": 32, "named": 32}


def test_what_the_support_leaves_of_train_is_said_to_be_of_train(tmp_path: Path) -> None:
    found = rows(scene(tmp_path, 6, val=0))
    assert ([row["split"] for row in found], len({row["sample_id"] for row in found})) == (["train"] * 24, 24)


def test_keys_that_stay_in_the_index_speak_too(tmp_path: Path) -> None:
    dense, sparse = scene(tmp_path / "a"), scene(tmp_path / "b")
    one, other = (
        [row["label_probability"] for row in found if row["sample_id"].startswith("train")]
        for found in (rows(dense), rows(sparse, top_k=8))
    )
    assert one == pytest.approx(other, abs=1e-5)
