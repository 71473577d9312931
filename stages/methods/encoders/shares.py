"""XMAdapter for several encoders: each has its own discriminant spaces and image cache, and what it adds is weighed image by image.

    logits = l_1 + sum over e > 1 of  w_e(x) l_e,    w_e(x) = s_e (rho_e I_e(x) / I_1(x))^4
    I_e(x) = 1 - H(softmax(s_e l_e(x))) / log N      how sure encoder e is of this image, 0 to 1
    rho_e  = what encoder e has shown, by what the first one has: the mean of 1 - CE / log N over labelled images left out

l_e are XMAdapter's logits by encoder e alone; where its class directions are derived (`stages.methods.maths.derived`), its two caches,
untrained. s_e >= 0 is the scale at which l_e names left-out images best. An encoder that knows nothing of the classes shows nothing: its
share is 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from xmap.stages.fewshot.folds import class_folds, folds
from xmap.stages.fewshot.task import FewShotTask, Labelled, Retrieved
from xmap.stages.methods import xmadapter
from xmap.stages.methods.encoders.parts import (
    accuracy_of,
    has_own_text,
    joined,
    keep_text,
    refuse_beside,
    scored_parts,
    text_known,
    under_number,
)
from xmap.stages.methods.maths.derived import derived_spaces
from xmap.stages.methods.maths.discriminant import Spaces, learn_spaces
from xmap.stages.methods.options import XMAdapterOptions
from xmap.stages.methods.protocol import Cache, Fitted, Method, NoLog, Scores, Selection, Settings, TrainLog

# How fast the share falls with what an encoder has shown, and with how sure it is.
POWER = 4
# How much surer than the first an encoder counts at most.
MOST = 2.0
SHARPEST, HALVINGS, TINY = 3.0, 40, 1e-6
SCALE, SHOWN = "scale", "shown"


@dataclass(frozen=True)
class Said:
    """What all encoders say of labelled samples without having met them: logits (E, B, N), labels (B,).

    Samples of one row of `among` (N,) bool are of these classes, and are asked about these alone.
    """

    logits: Tensor
    labels: Tensor
    among: Tensor

    def by(self, encoder: int) -> tuple[Tensor, Tensor]:
        """Logits (B, n) of an encoder for the classes asked about, and labels (B,) among these."""
        place = torch.cumsum(self.among.long(), 0) - 1
        return self.logits[encoder][:, self.among].double(), place[self.labels]


class Ensemble:
    """XMAdapter for several encoders."""

    def __init__(self, module: Method) -> None:
        self._module = module

    def fit(self, task: FewShotTask, options: XMAdapterOptions, settings: Settings | None, log: TrainLog) -> Fitted:
        """Fit each encoder's part by itself, then learn the shares; the log is that of the first.

        Raises `InputError` for keys in an index and for a pool.
        """
        refuse_beside(task)
        parts = [self._part(task, encoder, options, settings, log) for encoder in range(len(task.widths))]
        fitted, cache, held = joined(parts, {}, None), Cache.of(task), task.validation
        if settings is None:
            said = list(left_out(task, options))
            if held is not None:
                everything = torch.ones(task.text.classes, dtype=torch.bool, device=held.labels.device)
                said.append(Said(self._logits(fitted, cache, held.features), held.labels, everything))
            shares = learn_shares(said, len(parts))
        else:
            shares = {name: float(settings[name]) for name in share_names(len(parts))}
        fitted = joined(parts, shares, None)
        right = None if held is None else accuracy_of(self.scores(fitted, cache, held.features).logits, held.labels)
        return joined(parts, shares, right)

    def scores(self, fitted: Fitted, cache: Cache, features: Tensor, retrieved: Retrieved | None = None) -> Scores:
        """The weighed sum of the logits of all encoders for wide features (B, C)."""
        logits = self._logits(fitted, cache, features)
        weighed = logits * shares_of(logits, fitted.settings)[:, :, None]
        return Scores(weighed.sum(0), encoders=weighed)

    def _part(self, task: FewShotTask, encoder: int, options: XMAdapterOptions, settings: Settings | None, log: TrainLog) -> Fitted:
        text, given = text_known(task, encoder), None if settings is None else under_number(encoder, settings)
        if text is None:
            return derived_part(task, encoder, options)
        part = self._module.fit(task.part(encoder, text), options, given, log if encoder == 0 else NoLog())
        return part if has_own_text(task, encoder) else keep_text(part, text)

    def _logits(self, fitted: Fitted, cache: Cache, features: Tensor) -> Tensor:
        """Logits (E, B, N) of each encoder alone."""
        return torch.stack([self._part_logits(*part) for part in scored_parts(fitted, cache, features)])

    def _part_logits(self, part: Fitted, cache: Cache, features: Tensor) -> Tensor:
        if "residual" in part.tensors:
            return self._module.scores(part, cache, features).logits
        return caches(part, cache, features)


def derived_part(task: FewShotTask, encoder: int, options: XMAdapterOptions) -> Fitted:
    """The caches of an encoder without class texts of its own, by the settings that need no choice."""
    spaces, fixed = spaces_of(task, encoder, options), xmadapter.defaults(task.part(0), options)
    return Fitted(tensors_of(spaces), fixed, Selection(task.selected_on))


def tensors_of(spaces: Spaces) -> dict[str, Tensor]:
    """The tensors of two untrained caches."""
    names = ("keys", "text_keys", "center", "image_map", "text_map")
    return {name: getattr(spaces, name) for name in names}


def caches(part: Fitted, cache: Cache, features: Tensor) -> Tensor:
    """The fused affinities (B, N) of both caches, without class weights."""
    sides = xmadapter.both_sides(part, cache.segments, features)
    return sides.fused(float(part.settings["alpha"]), float(part.settings["gamma"]))


def spaces_of(task: FewShotTask, encoder: int, options: XMAdapterOptions) -> Spaces:
    """The discriminant spaces of an encoder."""
    text = text_known(task, encoder)
    if text is None:
        return derived_spaces(task.part(0), task.support.part(task.widths, encoder), options.metric)
    return learn_spaces(task.part(encoder, text), options.metric)


def left_out(task: FewShotTask, options: XMAdapterOptions) -> Iterator[Said]:
    """What the rest of the support says of a part of it, each part in turn: class weights as the texts are, caches untrained.

    Where no class has two samples whole classes are left out, of which the texts alone can speak.
    """
    parts = list(folds(task.support, task.seed))
    for held in parts or class_folds(task.support, task.seed):
        fold, samples = task.fold(held), task.support.plain(held)
        among = torch.zeros(task.text.classes, dtype=torch.bool, device=held.device)
        among[samples.labels] = True
        logits = [untrained(fold, encoder, samples, options, texts_alone=not parts) for encoder in range(len(task.widths))]
        yield Said(torch.stack(logits), samples.labels, torch.ones_like(among) if parts else among)


def untrained(fold: FewShotTask, encoder: int, samples: Labelled, options: XMAdapterOptions, texts_alone: bool) -> Tensor:
    """Logits (B, N) of an encoder without training for samples that a fold does without."""
    spaces, text, fixed = spaces_of(fold, encoder, options), text_known(fold, encoder), xmadapter.defaults(fold.part(0), options)
    features = samples.part(fold.widths, encoder).features
    sides = xmadapter.both_sides(Fitted(tensors_of(spaces), fixed, Selection("")), fold.support.segments, features)
    alpha, gamma = float(fixed["alpha"]), float(fixed["gamma"])
    found = alpha * (1.0 - gamma) * sides.text if texts_alone else sides.fused(alpha, gamma)
    return found if text is None else text.logits(features) + found


def learn_shares(said: Sequence[Said], encoders: int) -> dict[str, float]:
    """The settings of the shares: of each encoder after the first the scale s_e of its logits, and rho_e, what it has shown."""
    scales = [fit_scale([part.by(encoder) for part in said]) for encoder in range(encoders)]
    shown = [known([part.by(encoder) for part in said], scale) for encoder, scale in enumerate(scales)]
    ratios = [min(max(one, 0.0) / max(shown[0], TINY), 1.0) for one in shown]
    return dict(zip(share_names(encoders), [value for pair in zip(scales[1:], ratios[1:], strict=True) for value in pair], strict=True))


def share_names(encoders: int) -> list[str]:
    """The settings of the shares, by name."""
    return [f"{encoder + 1}.{name}" for encoder in range(1, encoders) for name in (SCALE, SHOWN)]


def fit_scale(said: Sequence[tuple[Tensor, Tensor]]) -> float:
    """The scale s >= 0 at which logits (B, n) float64 of samples with labels (B,) have the least cross-entropy, which is convex in s.

    Where a few samples are all right any large scale would do: it ends at `SHARPEST`.
    """
    apart = [logits - logits.gather(1, labels[:, None]) for logits, labels in said]

    def slope(scale: float) -> float:
        return sum(float(((scale * one).softmax(1) * one).sum()) for one in apart)

    if slope(0.0) >= 0.0:
        return 0.0
    low, high = 0.0, SHARPEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return float(f"{(low + high) / 2:.6g}")


def known(said: Sequence[tuple[Tensor, Tensor]], scale: float) -> float:
    """What logits at a scale know of samples: the mean of 1 - CE / log n, 1 for all, 0 for what chance knows or without samples."""
    told = [1.0 - cross_entropy(scale * logits, labels, reduction="none") / _log(logits) for logits, labels in said]
    return float(torch.cat(told).mean()) if told else 0.0


def sureness(logits: Tensor) -> Tensor:
    """I (B,) of logits (B, N): 1 minus the entropy of their softmax in units of log N."""
    told = logits.double().log_softmax(1)
    return 1.0 + (told.exp() * told).sum(1) / _log(logits)


def shares_of(logits: Tensor, settings: Mapping[str, float | int | str]) -> Tensor:
    """What the logits (E, B, N) of each encoder are multiplied with, (E, B): 1 of the first."""
    first, shares = sureness(logits[0]).clamp(min=TINY), [torch.ones_like(logits[0, :, 0])]
    for encoder in range(1, len(logits)):
        scale, shown = (float(settings[f"{encoder + 1}.{name}"]) for name in (SCALE, SHOWN))
        surer = (sureness(scale * logits[encoder]) / first).clamp(max=MOST)
        shares.append((scale * (shown * surer) ** POWER).to(logits.dtype))
    return torch.stack(shares)


def _log(logits: Tensor) -> float:
    return math.log(max(logits.shape[1], 2))
