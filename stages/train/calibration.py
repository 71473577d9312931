"""On what samples the temperature of an adapter is fitted: such as it was not trained on.

Validation samples where there are any: as many as one number needs, whatever their class. That a few of them have chosen settings
too is said; measured, it makes no difference (docs/calibration.md). Else the support, of which a quarter at a time is scored
by an adapter that the rest has trained with the settings chosen already.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xmap.stages.adapters.kept import OUT_OF_SAMPLE, Kept
from xmap.stages.adapters.neighbors import BATCH, batches
from xmap.stages.adapters.strangeness import strangeness
from xmap.stages.fewshot.draw import CALIBRATION_MOST
from xmap.stages.fewshot.folds import folds
from xmap.stages.fewshot.space import Space
from xmap.stages.fewshot.task import FewShotTask, Labelled
from xmap.stages.methods.fitting.temperature import SPREAD, fit_temperature
from xmap.stages.methods.fitting.threads import product_size, threads_for
from xmap.stages.methods.protocol import Cache, Calibration, Fitted, Method, NoLog
from xmap.stages.methods.searched import MethodOptions

# What a part of the support has trained is less sure than the adapter, so that its word counts for less.
FOLDS_SPREAD = SPREAD / 2


@dataclass(frozen=True)
class Said:
    """What an adapter says, as logits (B, N) on the CPU, of labelled samples that it was not trained on; `what` they are in words."""

    samples: Labelled
    logits: Tensor
    what: str

    @classmethod
    def of(cls, module: Method, fitted: Fitted, task: FewShotTask, samples: Labelled, what: str) -> Said:
        """`what` says too how many of them chose its settings."""
        chosen = set(task.validation.sample_ids) if task.validation is not None and fitted.selection.trials else set()
        both = len(chosen.intersection(samples.sample_ids))
        logits = score(module, fitted, Cache.of(task), samples.to(str(task.text.weights.device)))
        return cls(samples, logits, f"{what}, {both:,} of which chose settings" if both else what)


def calibrate_on(said: Said) -> Calibration:
    """The temperature of an adapter by what it says of samples."""
    return Calibration(fit_temperature(said.logits, said.samples.labels), len(said.samples), said.what)


def calibrate_by_folds(module: Method, fitted: Fitted, task: FewShotTask, options: MethodOptions) -> tuple[Calibration, Kept | None]:
    """The temperature of an adapter on its own support, scored out of sample, and these scores.

    The temperature is 1 and there are no scores where no class has two samples, or keys are in an index.
    """
    found: list[tuple[Labelled, Tensor, Tensor]] = []
    for held in folds(task.support, task.seed) if task.index is None else ():
        fold = task.fold(held)
        # Each as the adapter itself was trained: by the task's seed.
        torch.manual_seed(task.seed)
        with threads_for(product_size(fold, options)):
            trained = module.fit(fold.without_validation(), options, fitted.settings, NoLog())
        samples = task.support.plain(held)
        logits, space = score(module, trained, Cache.of(fold), samples), Space.of([fold.support.keys], fold.segments)
        found.append((samples, logits, strangeness(logits, space.cosines(samples.features))))
        if sum(len(part) for part, *_ in found) >= CALIBRATION_MOST:
            break
    if not found:
        return Calibration(), None
    ids = [sample for part, *_ in found for sample in part.sample_ids]
    labels = torch.cat([part.labels for part, *_ in found]).cpu()
    logits, strange = (torch.cat(parts) for parts in list(zip(*found, strict=True))[1:])
    words = f"support, {len(ids):,} of {len(task.support):,} out of sample"
    kept = Kept.of(OUT_OF_SAMPLE, ids, labels, logits, strange)
    return Calibration(fit_temperature(logits, labels, FOLDS_SPREAD), len(ids), words), kept


def score(module: Method, fitted: Fitted, cache: Cache, samples: Labelled) -> Tensor:
    """The logits (B, N) of samples, which lie where the cache does, on the CPU: so does what they are held against."""
    with torch.no_grad():
        return torch.cat([module.scores(fitted, cache, samples.features[part]).logits for part in batches(len(samples), BATCH)]).cpu()
