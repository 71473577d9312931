"""Strangeness against NumPy, and the threshold that keeps its promise by simulation or rejects nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from xmap.stages.adapters.kept import SOURCES, Kept
from xmap.stages.adapters.strangeness import SHARPNESS, SOFTNESS, Rejection, strangeness
from xmap.store.errors import InputError
from xmap.store.formats.tables import Array


def softmax(rows: Array) -> Array:
    powers: Array = np.exp(rows - rows.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def kept_of(strange: list[float], source: str = SOURCES[0]) -> Kept:
    count = len(strange)
    nothing = np.zeros(count, np.int32)
    return Kept(source, tuple(map(str, range(count))), nothing, nothing, np.zeros(count), np.array(strange))


def test_strangeness_is_what_numpy_says() -> None:
    random = np.random.default_rng(0)
    logits, cosines = random.normal(size=(50, 7)) * 9, random.uniform(-1, 1, (50, 7))
    found = strangeness(torch.from_numpy(logits).float(), torch.from_numpy(cosines).float())
    wanted = 1 - ((softmax(logits / SOFTNESS) + softmax(SHARPNESS * cosines)) / 2).max(1)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-5)
    assert 0 <= float(found.min()) <= float(found.max()) <= 1


def test_opinions_that_differ_are_strange() -> None:
    sure, same, other = (torch.tensor([[*row]]) for row in ((90.0, 0.0, 0.0), (1.0, -1.0, -1.0), (-1.0, 1.0, -1.0)))
    assert float(strangeness(sure, same)) < 0.01
    assert float(strangeness(sure, other)) > 0.49


@pytest.mark.parametrize("count", [19, 30, 100])
def test_the_promised_share_of_exchangeable_images_is_accepted(count: int) -> None:
    random = np.random.default_rng(count)
    accepted = []
    for _ in range(300):
        rejected = Rejection(kept_of(random.random(count).tolist()), 0.95).rejects(torch.from_numpy(random.random(200)))
        accepted.append(1.0 - float(rejected.double().mean()))
    assert np.mean(accepted) > 0.945


def test_with_too_few_samples_nothing_is_rejected_and_the_reason_is_said() -> None:
    few = Rejection(kept_of([0.1] * 18), 0.95)
    assert few.threshold == math.inf
    assert not bool(few.rejects(torch.ones(3, dtype=torch.float64)).any())
    assert str(few).endswith("to accept 95 % takes 19, so that nothing is rejected")
    assert Rejection(kept_of([0.1] * 18 + [0.4]), 0.95).threshold == 0.4
    none = Rejection(kept_of([], SOURCES[-1]), 0.95)
    assert "nothing kept apart; to accept 95 %" in str(none)


@pytest.mark.parametrize("share", [0, 1, -0.5, 95])
def test_what_is_no_share_is_refused(share: float) -> None:
    with pytest.raises(InputError, match=r"between 0 and 1, such as 0\.95\.$"):
        Rejection(kept_of([0.1]), share)
