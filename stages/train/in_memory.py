"""A method fitted on vectors in memory, without a store: what training makes of the same support, choices and temperature included.

Texts may be absent. Then each class's text is the unit mean of its support, so that a method that starts at the texts starts at nearest
class means; and their logit scale, which CLIP learned for its own space, is the one that names the support best, each sample by the
means of the others. Where part of the support is held out the means are those of the rest: with the held samples in them every choice
would favour the text side.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import torch
from blake3 import blake3
from torch import Tensor
from torch.nn.functional import normalize

from xmap.stages.adapters.neighbors import batches
from xmap.stages.fewshot.draw import CALIBRATION_MOST, NOTHING, VALIDATION_SHOTS
from xmap.stages.fewshot.split_index import SplitIndex
from xmap.stages.fewshot.task import FewShotTask, Labelled, Support, Text
from xmap.stages.machine.device import repeatable
from xmap.stages.methods.fitting.temperature import fit_temperature
from xmap.stages.methods.protocol import Cache, Fitted, NoLog
from xmap.stages.methods.protocol import method as load_method
from xmap.stages.methods.registry import method_entry
from xmap.stages.train.calibration import Said, calibrate_by_folds, calibrate_on, score
from xmap.stages.train.stage import fit
from xmap.store.errors import InputError
from xmap.store.formats.tables import Array

# CLIP's own.
LOGIT_SCALE = 100.0
# Of a scale nothing is believed beforehand.
ANY = 10.0
# Rows that are scored at a time, the last ones filled up: so the bits of a row do not depend on how many others are asked about.
CHUNK = 256


@dataclass(frozen=True)
class LearnSpec:
    """What to fit: a method by name, on at most `shots` samples a class (None: all) drawn by `seed`."""

    method: str
    shots: int | None
    seed: int


class MeansTask(FewShotTask):
    """A task whose class texts are the means of its support."""

    def fold(self, held: Tensor) -> FewShotTask:
        fold = super().fold(held)
        return replace(fold, text=_mean_texts(fold.support))


@dataclass(frozen=True)
class Learned:
    """A fitted method, and what its scores need beside."""

    method: str
    fitted: Fitted
    cache: Cache

    def logits(self, vectors: Array) -> Array:
        """Logits (B, N) float64 of vectors (B, C), divided by the temperature. Raises `InputError` for vectors of length 0."""
        units, module = units_of(vectors), load_method(self.method)
        padded = np.resize(units, (-(-len(units) // CHUNK) * CHUNK, units.shape[1]))
        found = torch.cat([score(module, self.fitted, self.cache, _unlabelled(padded[part])) for part in batches(len(padded), CHUNK)])
        calibrated: Array = found[: len(units)].double().numpy() / self.fitted.calibration.temperature
        return calibrated


def learn(vectors: Array, labels: Array, texts: Array | None, classes: int, spec: LearnSpec) -> Learned:
    """Fit on vectors (S, C) of any length with labels (S,) in 0 to N - 1, and class texts (N, C) or none.

    With `shots`, what the draw leaves chooses settings and temperature, as a validation split does; without, or where it leaves nothing,
    the support does by parts of itself. Raises `InputError` for vectors of length 0, `UnknownName` for a method.
    """
    options, module = method_entry(spec.method).options(), load_method(spec.method)
    samples = _samples(units_of(vectors), labels, classes)
    task, rest = _task(samples, texts, spec)
    with repeatable(spec.seed, "cpu"):
        fitted = fit(module, task, options, NoLog())
        if rest is None:
            calibration, _ = calibrate_by_folds(module, fitted, task, options)
        else:
            calibration = calibrate_on(Said.of(module, fitted, task, rest, "the samples beside the support"))
    return Learned(spec.method, replace(fitted, calibration=calibration), Cache.of(task))


def units_of(vectors: Array) -> Array:
    """Unit vectors (B, C) float32. Raises `InputError` for one of length 0, which has no direction."""
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    if not largest.all():
        raise InputError(f"row {int(largest.argmin())} is all zero, and cosines need a direction; leave such rows out.")
    scaled = (vectors / largest).astype(np.float64)
    found: Array = (scaled / np.linalg.norm(scaled, axis=1, keepdims=True)).astype(np.float32)
    return found


def _samples(vectors: Array, labels: Array, classes: int) -> Support:
    """All samples, drawn by what they hold: neither their order nor how many others there are has a say."""
    contents = [blake3(row.tobytes()).hexdigest() for row in vectors]
    seen: Counter[str] = Counter()
    ids = []
    for content in contents:
        ids.append(f"{content}-{seen[content]}")
        seen[content] += 1
    most = int(np.bincount(labels).max())
    return Support.of(ids, torch.from_numpy(labels), torch.from_numpy(vectors)[:, None], most, classes, contents)


def _task(samples: Support, texts: Array | None, spec: LearnSpec) -> tuple[FewShotTask, Labelled | None]:
    """The task, and the samples beside its support, where there are any."""
    index = SplitIndex(samples.sample_ids, samples.labels.numpy().astype(np.int32), samples.units)
    drawn = index if spec.shots is None else index.few(spec.shots, spec.seed)
    beside = index.without(set(drawn.sample_ids))
    support = replace(_rows(samples, drawn), shots=spec.shots or samples.shots)
    few = beside.few(min(support.shots, VALIDATION_SHOTS), spec.seed)
    validation = samples.plain(_places(samples, few)) if len(few) else None
    chosen = "the samples beside the support" if len(few) else NOTHING
    if texts is None:
        task: FewShotTask = MeansTask(_mean_texts(support), support, validation, spec.seed, chosen)
    else:
        task = FewShotTask(_text(torch.from_numpy(units_of(texts)), LOGIT_SCALE), support, validation, spec.seed, chosen)
    some = beside.some(CALIBRATION_MOST, spec.seed)
    return task, samples.plain(_places(samples, some)) if len(some) else None


def _rows(samples: Support, index: SplitIndex) -> Support:
    return samples if len(index) == len(samples) else samples.take(_places(samples, index))


def _places(samples: Support, index: SplitIndex) -> Tensor:
    place = {sample: row for row, sample in enumerate(samples.sample_ids)}
    return torch.as_tensor([place[sample] for sample in index.sample_ids], dtype=torch.int64)


def _text(weights: Tensor, scale: float) -> Text:
    return Text(tuple(map(str, range(len(weights)))), weights, scale)


def _mean_texts(support: Support) -> Text:
    """The unit mean (N, C) of the keys of each class, zero for a class without a sample, and their logit scale."""
    keys, labels = support.keys, support.labels
    total = keys.new_zeros(support.classes, keys.shape[1]).index_add_(0, labels, keys)
    weights = normalize(total, dim=-1)
    logits = LOGIT_SCALE * keys @ weights.T
    others = normalize(total[labels] - keys, dim=-1)
    logits[torch.arange(len(keys)), labels] = LOGIT_SCALE * (keys * others).sum(1)
    several = support.segments.counts[labels] > 1
    return _text(weights, LOGIT_SCALE / fit_temperature(logits[several], labels[several], ANY))


def _unlabelled(units: Array) -> Labelled:
    return Labelled(tuple(map(str, range(len(units)))), torch.zeros(len(units), dtype=torch.int64), torch.from_numpy(units))
