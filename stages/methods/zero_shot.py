"""CLIP zero-shot: logits `s f W^T` (Radford et al., 2021). Nothing is fitted, and no image has a say in how sentences are weighed."""

from __future__ import annotations

from torch import Tensor

from xmap.stages.fewshot.task import FewShotTask, Retrieved
from xmap.stages.methods.options import ZeroShotOptions
from xmap.stages.methods.protocol import Cache, Fitted, Scores, Selection, Settings, TrainLog


def fit(task: FewShotTask, options: ZeroShotOptions, settings: Settings | None, log: TrainLog) -> Fitted:
    """Nothing to fit."""
    return Fitted({}, {}, Selection("nothing (no settings)"))


def scores(fitted: Fitted, cache: Cache, features: Tensor, retrieved: Retrieved | None = None) -> Scores:
    """Logits `s f W^T`."""
    return Scores(cache.text.unguided.logits(features))
