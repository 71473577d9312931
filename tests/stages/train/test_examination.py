"""What support and validation say about an adapter, against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.worlds.few_shot import random_labelled, random_support, random_text
from xmap.stages.fewshot.task import FewShotTask
from xmap.stages.methods.protocol import Cache, Fitted, NoLog, Selection, method
from xmap.stages.methods.registry import method_entry
from xmap.stages.train import examination
from xmap.stages.train.examination import at_gamma, examine

RANDOM = np.random.default_rng(4)
TEXT = random_text(3, 8, RANDOM)
TASK = FewShotTask(TEXT, random_support([4, 4, 4], 8, RANDOM), random_labelled(30, 3, 8, RANDOM), 1, "validation")


def fitted(name: str, **options: object) -> Fitted:
    return method(name).fit(TASK, method_entry(name).options(**options), None, NoLog())


@pytest.mark.parametrize(("name", "options"), [("xmadapter", {"min_steps": 5}), ("xmadapter-paper", {"epochs": 1})])
def test_sides_are_counted_against_the_fusion(name: str, options: dict[str, object]) -> None:
    module, adapter = method(name), fitted(name, **options)
    found = examine(module, adapter, TASK)
    cache = Cache(TEXT, TASK.support.segments)
    assert TASK.validation is not None

    def hits(one: Fitted) -> np.ndarray:
        assert TASK.validation is not None
        logits = module.scores(one, cache, TASK.validation.features).logits.detach()
        return (logits.argmax(1) == TASK.validation.labels).numpy()

    fused = hits(adapter)
    assert found["validation"] == {"correct": fused.sum(), "samples": 30}
    for side, gamma in (("image_only", 1.0), ("text_only", 0.0)):
        alone = hits(at_gamma(adapter, gamma))
        assert found[side] == {"correct": alone.sum(), "better": (fused & ~alone).sum(), "worse": (alone & ~fused).sum()}
    support = module.scores(adapter, cache, TASK.support.keys).logits.argmax(1) == TASK.support.labels
    assert found["support"] == {"correct": int(support.sum()), "samples": 12}


def test_a_method_without_two_sides_has_no_side_alone() -> None:
    assert set(examine(method("tip-adapter"), fitted("tip-adapter"), TASK)) == {"support", "validation"}


def test_without_validation_the_support_alone_is_counted() -> None:
    assert set(examine(method("zero-shot"), Fitted({}, {}, Selection("")), TASK.without_validation())) == {"support"}


def test_a_large_support_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "MOST", 5)
    found = examine(method("tip-adapter"), fitted("tip-adapter"), TASK)
    assert found["support"]["samples"] == 5  # type: ignore[index, call-overload]
    assert torch.is_grad_enabled()
