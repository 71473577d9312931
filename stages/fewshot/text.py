"""The class texts that a method sees: one unit vector a class, and what it was made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from xmap.stages.fewshot.sentences import guide


@dataclass(frozen=True)
class Unprojected:
    """What a text tower gives before its projection: unit `features` (N, E) of the classes; and the `projection` (E, C). Both float32."""

    features: Tensor
    projection: Tensor

    def to(self, device: str) -> Unprojected:
        """The same with its tensors on `device`."""
        return Unprojected(self.features.to(device), self.projection.to(device))


@dataclass(frozen=True)
class Text:
    """The class texts: `names` (N), unit `weights` (N, C) float32, and the encoder's own logit scale `s`.

    Where classes are described: unit `sentences` (S, C) float32, filled templates among them, sorted by `sentence_classes` (S,) int64; and
    `means` (N, C), what `weights` are before images guide them, where they do, by `sentence_weights` (S,) float64. `unprojected`
    is there for methods whose entry asks for it.
    """

    names: tuple[str, ...]
    weights: Tensor
    logit_scale: float
    sentences: Tensor | None = None
    sentence_classes: Tensor | None = None
    means: Tensor | None = None
    unprojected: Unprojected | None = None
    sentence_weights: Tensor | None = None

    @property
    def classes(self) -> int:
        return len(self.names)

    @property
    def unguided(self) -> Text:
        """The same without any say of images: each sentence of a class counts alike."""
        return self if self.means is None else replace(self, weights=self.means, means=None, sentence_weights=None)

    def guided(self, keys: Iterable[Tensor], labels: Tensor, counts: Tensor) -> Text:
        """The same with sentences weighed by unit keys; as it is without any sentences.

        The keys come in chunks (m, C or wider), row by row as `labels` (M,) say, `counts` (N,) of each class.
        """
        if self.sentences is None or self.sentence_classes is None:
            return self
        means, scale = self.unguided.weights, self.logit_scale
        found, shares = guide(means, self.sentences, self.sentence_classes, scale, keys, labels, counts)
        return replace(self, weights=found, means=means, sentence_weights=shares)

    def to(self, device: str) -> Text:
        """The same texts with their tensors on `device`."""
        tensors: dict[str, Any] = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor | Unprojected)}
        return replace(self, **tensors)

    def take(self, rows: Tensor) -> Text:
        """The texts of the given classes, numbered anew in that order."""
        names, unprojected = tuple(self.names[row] for row in rows.tolist()), self.unprojected
        taken = replace(self, names=names, weights=self.weights[rows], means=None if self.means is None else self.means[rows])
        taken = replace(taken, unprojected=unprojected and replace(unprojected, features=unprojected.features[rows]))
        if self.sentences is None or self.sentence_classes is None:
            return taken
        classes, places = torch.nonzero(self.sentence_classes[None] == rows[:, None]).T
        shares = None if self.sentence_weights is None else self.sentence_weights[places]
        return replace(taken, sentences=self.sentences[places], sentence_classes=classes, sentence_weights=shares)

    def logits(self, features: Tensor) -> Tensor:
        """Zero-shot logits `s f W^T` (B, N) of unit features (B, C)."""
        return self.logit_scale * features @ self.weights.T


def text_of(text: Text, more: tuple[Text | None, ...], encoder: int) -> Text | None:
    """The class texts of an encoder, numbered from 0: `text` of the first, of the others those in `more`, None without a text tower."""
    return (text, *more)[encoder]
