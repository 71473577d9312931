"""What support and validation say about a fitted adapter: kept in its manifest, so that `eval` can warn before anyone trusts it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from xmap.stages.adapters.neighbors import BATCH, batches
from xmap.stages.fewshot.task import FewShotTask, Labelled
from xmap.stages.methods.protocol import Cache, Fitted, Method
from xmap.store.artifacts.fingerprint import Json

# Enough of a support to know its accuracy to a point; a cache may hold a million keys.
MOST = 2000
# What gamma makes of the fusion: image only, text only.
SIDES: Mapping[str, float] = {"image_only": 1.0, "text_only": 0.0}


def examine(module: Method, fitted: Fitted, task: FewShotTask) -> dict[str, Json]:
    """Right answers on the support and on validation, and there also of each side alone where the method fuses two.

    A side has `correct`, and `better` and `worse`: samples that the fusion gets right and the side wrong, and the other way round.
    """
    cache = Cache.of(task)
    rows = torch.linspace(0, len(task.support) - 1, min(len(task.support), MOST)).long()
    support = right(module, fitted, cache, task.support.keys[rows], task.support.labels[rows])
    facts: dict[str, Json] = {"support": _count(support)}
    if task.validation is None:
        return facts
    fused = on(module, fitted, cache, task.validation)
    facts["validation"] = _count(fused)
    if not fuses(module, fitted, cache, task.validation):
        return facts
    for name, gamma in SIDES.items():
        side = on(module, at_gamma(fitted, gamma), cache, task.validation)
        better, worse = int((fused & ~side).sum()), int((side & ~fused).sum())
        facts[name] = {"correct": int(side.sum()), "better": better, "worse": worse}
    return facts


def on(module: Method, fitted: Fitted, cache: Cache, samples: Labelled) -> Tensor:
    """Which samples (B,) bool an adapter gets right."""
    return right(module, fitted, cache, samples.features, samples.labels)


def right(module: Method, fitted: Fitted, cache: Cache, features: Tensor, labels: Tensor) -> Tensor:
    """Which of the unit features (B, C) an adapter gives their label."""
    with torch.no_grad():
        parts = [module.scores(fitted, cache, features[part]).logits.argmax(1) == labels[part] for part in batches(len(labels), BATCH)]
    return torch.cat(parts) if parts else labels.new_zeros(0, dtype=torch.bool)


def fuses(module: Method, fitted: Fitted, cache: Cache, samples: Labelled) -> bool:
    """Whether the method weighs an image side against a text side."""
    with torch.no_grad():
        return len(samples) > 0 and module.scores(fitted, cache, samples.features[:1]).gamma is not None


def at_gamma(fitted: Fitted, gamma: float) -> Fitted:
    """The same adapter with another share of the image side."""
    return replace(fitted, settings={**fitted.settings, "gamma": gamma})


def _count(hits: Tensor) -> dict[str, Json]:
    return {"correct": int(hits.sum()), "samples": len(hits)}
