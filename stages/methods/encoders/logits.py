"""The plainest form of a method for several encoders: fitted to each encoder by itself, and their logits added up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from xmap.stages.fewshot.folds import class_folds, folds
from xmap.stages.fewshot.task import FewShotTask, Retrieved, Text
from xmap.stages.methods.encoders.parts import (
    SCALE,
    accuracy_of,
    has_own_text,
    joined,
    keep_text,
    refuse_beside,
    scored_parts,
    text_known,
    under_number,
)
from xmap.stages.methods.fitting.temperature import fit_temperature
from xmap.stages.methods.maths.derived import derived_text, derived_weights, directions
from xmap.stages.methods.protocol import Cache, Fitted, Method, NoLog, Scores, Settings, TrainLog

# CLIP's own; of the scale of derived texts nothing is believed beforehand.
LOGIT_SCALE, ANY = 100.0, 10.0
# The logit of a class that is not to be chosen.
NEVER = -1e4


class Ensemble:
    """A method for several encoders."""

    def __init__(self, module: Method) -> None:
        self._module = module

    def fit(self, task: FewShotTask, options: Any, settings: Settings | None, log: TrainLog) -> Fitted:
        """Fit each encoder's part by itself, choices included; the log is that of the first.

        Raises `InputError` for keys in an index and for a pool.
        """
        refuse_beside(task)
        parts = []
        for encoder in range(len(task.widths)):
            text = text_known(task, encoder) or text_from_first(task, encoder, settings)
            given = None if settings is None else {name: value for name, value in under_number(encoder, settings).items() if name != SCALE}
            part = self._module.fit(task.part(encoder, text), options, given, log if encoder == 0 else NoLog())
            parts.append(part if has_own_text(task, encoder) else keep_text(part, text))
        fitted, held = joined(parts, {}, None), task.validation
        right = None if held is None else accuracy_of(self.scores(fitted, Cache.of(task), held.features).logits, held.labels)
        return joined(parts, {}, right)

    def scores(self, fitted: Fitted, cache: Cache, features: Tensor, retrieved: Retrieved | None = None) -> Scores:
        """The sum of the logits of all encoders for wide features (B, C)."""
        parts = scored_parts(fitted, cache, features)
        logits = torch.stack([self._module.scores(part, own, seen).logits for part, own, seen in parts])
        return Scores(logits.sum(0), encoders=logits)


def text_from_first(task: FewShotTask, encoder: int, settings: Settings | None) -> Text:
    """Class texts that are derived for an encoder, with the logit scale given, else the one that names images left out best."""
    first, support = task.part(0), task.support.part(task.widths, encoder)
    weights = derived_weights(directions(first, support))
    scale = None if settings is None else under_number(encoder, settings).get(SCALE)
    return derived_text(task.text, weights, _scale(task, encoder) if scale is None else float(scale))


def _scale(task: FewShotTask, encoder: int) -> float:
    said = list(_left_out(task, encoder))
    if not said:
        return LOGIT_SCALE
    logits, labels = (torch.cat(parts) for parts in zip(*said, strict=True))
    return LOGIT_SCALE / fit_temperature(logits, labels, ANY)


def _left_out(task: FewShotTask, encoder: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Of samples of the support, logits (B, N) by directions made without them, and labels (B,); of whole classes among these alone."""
    parts = list(folds(task.support, task.seed))
    for held in parts or class_folds(task.support, task.seed):
        fold = task.fold(held)
        found = derived_weights(directions(fold.part(0), fold.support.part(task.widths, encoder)))
        samples = task.support.part(task.widths, encoder).plain(held)
        logits = LOGIT_SCALE * samples.features @ found.T
        classes = torch.unique(samples.labels)
        among = torch.zeros_like(logits, dtype=torch.bool).index_fill_(1, classes, value=True)
        yield (logits if parts else logits.masked_fill(~among, NEVER)), samples.labels
