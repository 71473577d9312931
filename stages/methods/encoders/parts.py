"""An adapter of several encoders: what each of them has, under its number from 1, and the cache that each one's part is scored with.

An encoder has its own class texts where it has a text tower, those of an earlier encoder where it is the same one again, and else keeps
those that were derived for it (`stages.methods.maths.derived`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from xmap.stages.fewshot.task import FewShotTask, Text, text_of
from xmap.stages.fewshot.wide import part_of
from xmap.stages.methods.protocol import Cache, Fitted, Selection
from xmap.store.errors import InputError

T = TypeVar("T")
TEXTS, SCALE = "texts", "logit_scale"


def under(encoder: int, values: Mapping[str, T]) -> dict[str, T]:
    """Values by name, under the number of an encoder that is counted from 0."""
    return {f"{encoder + 1}.{name}": value for name, value in values.items()}


def under_number(encoder: int, values: Mapping[str, T]) -> dict[str, T]:
    """Those of `under`, by their own names again."""
    number = f"{encoder + 1}."
    return {name.removeprefix(number): value for name, value in values.items() if name.startswith(number)}


def part_of_fitted(fitted: Fitted, encoder: int) -> Fitted:
    """What an adapter has of one encoder."""
    return Fitted(under_number(encoder, fitted.tensors), under_number(encoder, fitted.settings), Selection(""))


def scored_parts(fitted: Fitted, cache: Cache, features: Tensor) -> list[tuple[Fitted, Cache, Tensor]]:
    """Of each encoder its part of an adapter, of the cache, and of wide features (B, C)."""
    found = []
    for encoder in range(len(cache.widths)):
        part = part_of_fitted(fitted, encoder)
        text = text_of(cache.text, cache.more_texts, encoder) or stored_text(part, cache.text)
        own = Cache(text or cache.text, cache.segments)
        found.append((part, own, part_of(features, cache.widths, encoder)))
    return found


def stored_text(part: Fitted, first: Text) -> Text | None:
    """The class texts that a part of an adapter keeps; None where it has none."""
    return Text(first.names, part.tensors[TEXTS], float(part.settings[SCALE])) if TEXTS in part.tensors else None


def keep_text(part: Fitted, text: Text) -> Fitted:
    """A part of an adapter that keeps its class texts."""
    return replace(part, tensors={**part.tensors, TEXTS: text.weights}, settings={**part.settings, SCALE: text.logit_scale})


def text_known(task: FewShotTask, encoder: int) -> Text | None:
    """The class texts of an encoder: its own, or those of an earlier encoder which sees the support bit for bit alike."""
    own = text_of(task.text, task.more_texts, encoder)
    if own is not None:
        return own
    views = task.support.part(task.widths, encoder).views
    same = (earlier for earlier in range(encoder) if torch.equal(views, task.support.part(task.widths, earlier).views))
    return next((text for text in (text_of(task.text, task.more_texts, earlier) for earlier in same) if text), None)


def has_own_text(task: FewShotTask, encoder: int) -> bool:
    """Whether the class texts of an encoder are at hand wherever it is scored."""
    return text_of(task.text, task.more_texts, encoder) is not None


def joined(parts: Sequence[Fitted], more: Mapping[str, float], accuracy: float | None) -> Fitted:
    """One adapter of the parts of all encoders; choices are those of its parts, whose `accuracy` is that of all together."""
    tensors = {name: tensor for encoder, part in enumerate(parts) for name, tensor in under(encoder, part.tensors).items()}
    settings = {name: value for encoder, part in enumerate(parts) for name, value in under(encoder, part.settings).items()}
    grid = {name: values for encoder, part in enumerate(parts) for name, values in under(encoder, part.selection.grid).items()}
    edges = tuple(f"{encoder + 1}.{name}" for encoder, part in enumerate(parts) for name in part.selection.edges)
    trials = sum(part.selection.trials for part in parts)
    selection = Selection(parts[0].selection.selected_on, trials, accuracy if trials else None, grid, edges)
    return Fitted(tensors, {**settings, **more}, selection, sum(part.trainable_parameters for part in parts))


def accuracy_of(logits: Tensor, labels: Tensor) -> float:
    """Right answers in percent."""
    return 100.0 * float((logits.argmax(1) == labels).double().mean())


def refuse_beside(task: FewShotTask) -> None:
    """Raise `InputError` for what is for one encoder: keys that stay in the cache's index, which compares all at once, and a pool."""
    if task.pool is not None:
        raise InputError("images without labels are learned from by one encoder; leave out --pool, or the other encoders.")
    if task.index is not None:
        raise InputError(
            "keys that stay in the cache's index are compared by all encoders at once; leave out --top-k, or take one encoder."
        )
