"""What an adapter's temperature is fitted on: samples that it was not trained on, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.stages.train.test_stage import scene
from tests.worlds.few_shot import random_support
from xmap.stages.adapters.scorer import Scorer
from xmap.stages.fewshot.cache import OpenCache
from xmap.stages.fewshot.draw import Beside, draw_calibration
from xmap.stages.fewshot.folds import FOLDS, folds
from xmap.stages.fewshot.load import labelled
from xmap.stages.methods.fitting.temperature import fit_temperature
from xmap.store.artifacts.artifact import Artifact


def said(adapter: Artifact) -> tuple[int, str]:
    found = adapter.summary["calibration"]
    return found["samples"], found["calibrated_on"]


def test_validation_samples_serve_and_how_many_chose_settings_is_said(tmp_path: Path) -> None:
    here = scene(tmp_path, val=6)
    adapter = here.train("tip-adapter")
    assert said(adapter) == (24, "validation, 24 of 24 samples, 12 of which chose settings")
    assert said(here.train("zero-shot")) == (24, "validation, 24 of 24 samples")
    rows, _ = draw_calibration(Beside.of(here.images), 1)
    assert rows is not None
    samples, scorer = labelled(rows), Scorer(adapter, OpenCache(here.cache, here.texts))
    assert scorer.fitted.calibration.temperature == adapter.summary["calibration"]["temperature"]
    logits = scorer.scores(samples.features).logits
    assert scorer.fitted.calibration.temperature == pytest.approx(fit_temperature(logits, samples.labels), rel=1e-4)


def test_without_validation_the_train_remainder_serves(tmp_path: Path) -> None:
    assert said(scene(tmp_path, 9, val=0).train("tip-adapter")) == (20, "train remainder, 20 of 20 samples, 10 of which chose settings")


@pytest.mark.parametrize("method", ["tip-adapter", "xmadapter"])
def test_without_either_the_support_is_scored_out_of_sample(tmp_path: Path, method: str) -> None:
    here = scene(tmp_path, 4, val=0)
    adapter = here.train(method)
    assert said(adapter) == (16, "support, 16 of 16 out of sample")
    assert adapter.summary["calibration"]["temperature"] != 1.0
    # The last epoch's log is of the adapter, whatever was trained after it.
    again = here.train(method, number=2)
    assert again.file("affinity/train.parquet").stat().st_size > 0
    assert again.summary["calibration"] == adapter.summary["calibration"]


def test_one_shot_without_validation_leaves_probabilities_as_trained(tmp_path: Path) -> None:
    adapter = scene(tmp_path, 1, val=0, shots=1).train("tip-adapter")
    assert adapter.summary["calibration"] == {"temperature": 1.0, "samples": 0, "calibrated_on": "nothing (as trained)"}


def test_keys_in_an_index_are_not_held_out_of_it(tmp_path: Path) -> None:
    assert said(scene(tmp_path, 4, val=0).train("tip-adapter", top_k=5)) == (0, "nothing (as trained)")


def test_each_sample_is_held_out_once_and_no_class_is_left_without() -> None:
    support = random_support([1, 2, 4, 9], 6, np.random.default_rng(0))
    parts = list(folds(support, 3))
    rows = torch.cat(parts)
    assert sorted(rows.tolist()) == list(range(1, 16))
    assert len(parts) == FOLDS
    for part in parts:
        kept = support.segments.counts - torch.bincount(support.labels[part], minlength=4)
        assert (kept > 0).all()
