"""Ablations: intervals and verdicts, keys that are left out, AUROC beside the plain count of pairs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xmap.stages.ablate.measure import OVER_BOTH, OVER_SAMPLES, auroc, few, keep_keys, measure
from xmap.stages.ablate.variants import ABLATIONS, DEFAULT, Variant, ablations_of, names
from xmap.stages.encoder.names import BUNDLED, CONFIG_FILE, MODELS
from xmap.stages.fewshot.task import Segments, Text
from xmap.stages.methods.protocol import Cache, Fitted, Selection
from xmap.store.errors import UnknownName


def pairs(scores: np.ndarray, positive: np.ndarray) -> float:
    """The share of (positive, other) pairs in the right order, ties half: the definition."""
    won = [(one > other) + 0.5 * (one == other) for one in scores[positive] for other in scores[~positive]]
    return float(np.mean(won))


@pytest.mark.parametrize("levels", [3, 1000])
def test_auroc_is_the_share_of_pairs_in_order(levels: int) -> None:
    generator = np.random.default_rng(levels)
    scores = generator.integers(0, levels, 60).astype(float)
    positive = generator.random(60) < 0.3
    assert auroc(scores, positive) == pytest.approx(pairs(scores, positive), abs=1e-12)
    assert auroc(-scores, positive) == pytest.approx(1 - auroc(scores, positive), abs=1e-12)
    assert np.isnan(auroc(scores, np.zeros(60, bool)))


def test_a_verdict_needs_an_interval_without_zero() -> None:
    generator = np.random.default_rng(1)
    right = generator.random((2, 400)) < 0.6
    base, worse = list(right), list(right & (generator.random((2, 400)) < 0.8))
    noise = list(np.where(generator.random((2, 400)) < 0.05, ~right, right))
    variant = Variant("other", settings={"gamma": 0.5})
    assert measure(variant, worse, base, False).verdict == "worse"
    assert measure(variant, base, worse, False).verdict == "better"
    assert {measure(variant, base, base, differ).verdict for differ in (False, True)} == {"the same"}
    assert measure(DEFAULT, base, base, False).verdict == "the default"
    row = measure(variant, noise, base, False)
    assert (row.verdict == "no effect shown") == (row.difference_low <= 0 <= row.difference_high)
    assert row.accuracy == pytest.approx(100 * np.mean(noise))
    assert (row.samples, row.seeds) == (400, 2)


def test_intervals_hold_the_luck_of_supports_that_differ() -> None:
    generator = np.random.default_rng(2)
    base = [generator.random(400) < share for share in (0.5, 0.6, 0.7)]
    mine = [hits | (generator.random(400) < gain) for hits, gain in zip(base, (0.0, 0.1, 0.3), strict=True)]
    variant = Variant("other", settings={"gamma": 0.5})
    alone, both = (measure(variant, mine, base, differ) for differ in (False, True))
    assert (alone.ci_kind, both.ci_kind) == (OVER_SAMPLES, OVER_BOTH)
    assert (alone.accuracy, alone.difference) == (both.accuracy, both.difference)
    assert both.difference_low < alone.difference_low < alone.difference_high < both.difference_high
    assert both.low < alone.low < alone.high < both.high <= 100.0
    assert (alone.verdict, both.verdict) == ("better", "no effect shown")


def test_kept_keys_are_the_first_of_each_class() -> None:
    labels = torch.tensor([0, 0, 0, 1, 2, 2])
    fitted = Fitted({"keys": torch.arange(6.0)[:, None]}, {}, Selection("nothing"), 0)
    cache = Cache(Text(("a", "b", "c"), torch.eye(3), 1.0), Segments.of(labels, 3, 3))
    kept, smaller = keep_keys(fitted, cache, 2)
    assert kept.tensors["keys"].flatten().tolist() == [0, 1, 3, 4, 5]
    assert smaller.segments.labels.tolist() == [0, 0, 1, 2, 2]
    assert smaller.segments.shots == 2


def test_each_ablation_holds_the_default_once_and_an_unknown_name_is_refused() -> None:
    for entry in ABLATIONS.values():
        assert [variant.plain for variant in entry.variants].count(True) == 1
        assert len({variant.name for variant in entry.variants}) == len(entry.variants) > 1
    assert ablations_of(()) == names()
    with pytest.raises(UnknownName, match="gamma"):
        ablations_of(("gama",))


def test_every_encoder_compared_comes_with_xmap() -> None:
    models = {str(variant.config["encoder.model"]) for variant in ABLATIONS["backbone"].variants if not variant.plain}
    assert models == set(BUNDLED)
    assert all((MODELS / model / CONFIG_FILE).is_file() for model in models)


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=20), st.integers(1, 4), st.integers(0, 99))
def test_few_takes_the_lowest_ranks_of_each_class(labels: list[int], per_class: int, seed: int) -> None:
    ranks = np.random.default_rng(seed).permutation(len(labels))
    chosen = few(torch.tensor(labels), per_class, torch.from_numpy(ranks)).tolist()
    expected = set()
    for label in set(labels):
        rows = sorted((row for row in range(len(labels)) if labels[row] == label), key=lambda row: ranks[row])
        expected |= set(rows[:per_class])
    assert set(chosen) == expected
    assert len(chosen) == len(expected)
