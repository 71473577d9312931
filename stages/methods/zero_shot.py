"""CLIP zero-shot: logits `s f W^T` (Radford et al., 2021). Nothing is fitted."""

from __future__ import annotations

from torch import Tensor

from stages.methods.method import Cache, Fitted, Scores, Selection, Settings, TrainLog
from stages.options import ZeroShotOptions
from stages.task import FewShotTask, Retrieved


def fit(task: FewShotTask, options: ZeroShotOptions, settings: Settings | None, log: TrainLog) -> Fitted:
    """Nothing to fit."""
    return Fitted({}, {}, Selection("nothing (no settings)"))


def scores(fitted: Fitted, cache: Cache, features: Tensor, retrieved: Retrieved | None = None) -> Scores:
    """Logits `s f W^T`."""
    return Scores(cache.text.logits(features))
