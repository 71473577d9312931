"""Prediction sets against their definition, against simulations, and against the faults that such tools have."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stages.train.test_stage import scene
from xmap.stages.adapters.kept import SOURCES, Kept, nonconformity
from xmap.stages.adapters.scorer import Scorer
from xmap.stages.adapters.sets import PROMISES, Sets, fewest, rank_of, threshold
from xmap.stages.fewshot.cache import OpenCache
from xmap.stages.fewshot.draw import Beside, draw_validation
from xmap.store.errors import InputError, UnknownName

LEVELS, COUNTS = (0.8, 0.9, 0.95), (4, 9, 30, 100, 1000)
VALIDATION = "validation kept apart"


def kept_of(logits: torch.Tensor, labels: torch.Tensor, source: str = VALIDATION) -> Kept:
    return Kept.of(source, [str(row) for row in range(len(labels))], labels, logits, torch.zeros(len(labels)))


def simulated(rows: int, classes: int, seed: int, noise: float = 2.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (B, N) that know a little of their labels (B,); all rows are exchangeable."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (rows,), generator=random)
    return noise * torch.randn(rows, classes, generator=random) + 3.0 * torch.eye(classes)[labels], labels


def by_definition(kept: Kept, level: float, logits: torch.Tensor) -> list[set[int]]:
    """Slow and obvious: a class is in the set while its p-value, the share of n + 1 samples that fit as badly, is above alpha."""
    found = []
    for row in nonconformity(logits).tolist():
        ps = [Fraction(1 + sum(own >= one for own in kept.nonconformity.tolist()), len(kept) + 1) for one in row]
        found.append({label for label, p in enumerate(ps) if p > 1 - Fraction(str(level))} | {int(np.argmin(row))})
    return found


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 25), st.integers(2, 5), st.sampled_from((0.5, 0.55, 0.8, 0.9, 0.95, 1 / 3)), st.integers(0, 99))
def test_sets_are_those_of_the_definition(samples: int, classes: int, level: float, seed: int) -> None:
    logits, labels = simulated(samples + 12, classes, seed)
    # Rounded, so that many nonconformities are equal.
    logits = logits.round()
    kept = kept_of(logits[:samples], labels[:samples])
    found = Sets(kept, level).members(logits[samples:])
    assert [set(row.nonzero().flatten().tolist()) for row in found] == by_definition(kept, level, logits[samples:])


@pytest.mark.parametrize("level", [0.5, 0.55, 0.8, 0.9, 0.95, 0.99])
def test_the_share_that_a_threshold_covers_is_exact(level: float) -> None:
    """Of n + 1 nonconformities each is as likely to be the new one; of these `ceil((n + 1) level)` lie within the others' threshold."""
    for samples in (0, 1, 4, 8, 9, 10, 30, 99):
        scores = np.random.default_rng(samples).permutation(samples + 1).astype(np.float64)
        covered = sum(new <= threshold(np.delete(scores, row), level) for row, new in enumerate(scores))
        assert covered == math.ceil((samples + 1) * Fraction(str(level))) >= level * (samples + 1) - 1e-9


@pytest.mark.parametrize("samples", COUNTS)
def test_coverage_is_as_promised_in_simulation(samples: int) -> None:
    """Over many draws of n samples and a new one, of seven classes: never below the promise by more than the error of sampling."""
    draws = 20_000 // (1 + samples // 10)
    scores = np.random.default_rng(samples).gumbel(size=(draws, samples + 1)) ** 2
    for level in LEVELS:
        rank = rank_of(samples, level)
        limits = np.partition(scores[:, :-1], rank - 1, axis=1)[:, rank - 1] if rank <= samples else np.full(draws, np.inf)
        covered = (scores[:, -1] <= limits).mean()
        expected = rank / (samples + 1)
        assert expected >= level
        assert abs(covered - expected) <= 4 * math.sqrt(expected * (1 - expected) / draws)


@pytest.mark.parametrize("level", LEVELS)
def test_sets_of_many_classes_cover(level: float) -> None:
    """A fault of others: two classes alone. Here seven, a set of none of them is never given, and the promise holds."""
    logits, labels = simulated(6000, 7, 1)
    rates = []
    for start in range(0, 3000, 100):
        members = Sets(kept_of(logits[start : start + 100], labels[start : start + 100]), level).members(logits[3000:])
        assert members.sum(1).min() >= 1
        rates.append(float(members.gather(1, labels[3000:, None]).double().mean()))
    # The mean of thirty divisions; each has an error of about sqrt(level (1 - level) / 100).
    assert np.mean(rates) >= level - 4 * math.sqrt(level * (1 - level) / 100 / 30)


def test_a_quantile_is_not_clipped() -> None:
    """A fault of others: with four samples the largest of these as threshold would cover 80 %, not 90."""
    logits, labels = simulated(4, 5, 0)
    sets = Sets(kept_of(logits, labels), 0.9)
    assert sets.too_few
    assert sets.members(simulated(50, 5, 1)[0]).all()
    assert str(sets) == "sets of 90 %: 4 samples, validation kept apart; 90 % takes 9, so that every set is all classes"
    enough = Sets(kept_of(logits, labels), 0.8)
    assert not enough.too_few
    assert enough.limits(5).max() == kept_of(logits, labels).nonconformity.max()
    assert [fewest(level) for level in (0.5, 0.8, 0.9, 0.95, 0.99)] == [1, 4, 9, 19, 99]
    assert all(rank_of(fewest(level), level) == fewest(level) for level in (0.5, 0.8, 0.9, 0.95, 0.99))
    assert all(rank_of(fewest(level) - 1, level) > fewest(level) - 1 for level in (0.5, 0.8, 0.9, 0.95, 0.99))


def test_the_temperature_and_the_settings_have_no_say_in_the_threshold(tmp_path: Path) -> None:
    """A fault of others: calibrating probabilities and setting the threshold with the same samples."""
    here = scene(tmp_path, val=30)
    adapter = here.train("tip-adapter")
    scorer = Scorer(adapter, OpenCache(here.cache, here.texts))
    kept, chosen = scorer.promises.kept, draw_validation(Beside.of(here.images), 4, 1, "few", 4)[0]
    assert kept is not None
    assert chosen is not None
    assert not set(kept.sample_ids) & set(chosen.sample_ids)
    logits = scorer.scores(torch.nn.functional.normalize(torch.randn(40, 8), dim=1)).logits
    before = scorer.promises.sets(0.9).members(logits)
    cooler = replace(scorer.fitted.calibration, temperature=7.0)
    scorer.fitted = replace(scorer.fitted, calibration=cooler)
    assert (scorer.promises.sets(0.9).members(logits) == before).all()


def test_by_class_each_with_samples_enough_is_promised_by_itself() -> None:
    """A class that is harder than the others is covered too little by one threshold for all, and enough by its own."""
    logits, labels = simulated(4000, 3, 2)
    logits[labels == 2, 2] -= 2.0
    kept, fresh, truth = kept_of(logits[:2000], labels[:2000]), logits[2000:], labels[2000:]
    rates = {}
    for by in ("all", "class"):
        inside = Sets(kept, 0.9, by).members(fresh).gather(1, truth[:, None])[:, 0]
        rates[by] = [float(inside[truth == label].double().mean()) for label in range(3)]
    assert rates["all"][2] < 0.8
    assert min(rates["class"]) > 0.86


def test_classes_with_too_few_samples_share_a_threshold_of_their_own() -> None:
    labels = torch.tensor([0] * 9 + [1] * 5 + [2] * 4)
    logits = simulated(18, 4, 3)[0]
    kept = kept_of(logits, labels)
    sets = Sets(kept, 0.9, "class")
    assert sets.own == (0,)
    limits = sets.limits(4)
    assert limits[0] == kept.nonconformity[:9].max()
    assert limits[1:].tolist() == [kept.nonconformity[9:].max()] * 3
    assert "1 class with 9 or more alone, any others share a threshold" in sets.words
    fewer = Sets(kept_of(logits[:12], labels[:12]), 0.9, "class")
    assert fewer.limits(4)[1:].tolist() == [math.inf] * 3
    assert "any others are in every set" in fewer.words
    none = Sets(kept_of(logits[9:], labels[9:]), 0.9, "class")
    assert (none.own, none.words) == ((), "9 samples, validation kept apart; no class has 9 alone, all share a threshold")


def test_what_sets_stand_on_is_named() -> None:
    assert set(PROMISES) == set(SOURCES)
    logits, labels = simulated(20, 3, 0)
    names = {VALIDATION: "split conformal", "train remainder kept apart": "split conformal", "support out of sample": "nothing proves"}
    for source, name in names.items():
        sets = Sets(kept_of(logits, labels, source), 0.9)
        assert sets.words == f"20 samples, {source}"
        assert name in sets.promise
    nothing = Sets(Kept.none("nothing kept apart"), 0.9)
    assert (nothing.words, nothing.promise) == ("nothing kept apart; 90 % takes 9, so that every set is all classes", "")


@pytest.mark.parametrize("level", [0.0, 1.0, 90.0, -1.0, math.nan, math.inf])
def test_a_level_is_a_share(level: float) -> None:
    with pytest.raises(InputError, match=r"lies between 0 and 1, such as 0\.9"):
        Sets(Kept.none("nothing kept apart"), level)
    with pytest.raises(UnknownName, match="did you mean 'class'"):
        Sets(Kept.none("nothing kept apart"), 0.9, "clas")
