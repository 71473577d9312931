"""Hard samples: how far the two caches disagree about a sample, and the weight that follows (XMAdapter, section 2.5).

    d_i = mean over the classes of | A_img / mean A_img - A_txt / mean A_txt |,    w_i = 1 + lambda d_i / mean d

The paper weights the loss by the difference of the two affinity matrices; the exact form is not published. What each side is
divided by is taken over the support and kept with the adapter, so that a sample's d_i depends on no sample scored beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

TINY = 1e-12
MEANS = ("mean_image", "mean_text")


@dataclass(frozen=True)
class Means:
    """What the two sides are divided by before they are compared."""

    image: float
    text: float

    @classmethod
    def over(cls, parts: Iterable[tuple[Tensor, Tensor]]) -> Means:
        """The means of both sides, given as pairs of (B, N) parts."""
        found = [
            (float(image.detach().sum(dtype=torch.float64)), float(text.detach().sum(dtype=torch.float64)), image.numel(), text.numel())
            for image, text in parts
        ]
        image, text, images, texts = (sum(column) for column in zip(*found, strict=True))
        return cls(image / images, text / texts)

    @classmethod
    def kept(cls, settings: Mapping[str, float | int | str]) -> Means:
        """Those that an adapter keeps among its settings."""
        return cls(*(float(settings[name]) for name in MEANS))

    @property
    def settings(self) -> dict[str, float]:
        """As an adapter keeps them."""
        return dict(zip(MEANS, (self.image, self.text), strict=True))


def disagreement(image: Tensor, text: Tensor, means: Means) -> Tensor:
    """d_i (B,): the mean absolute difference of the two sides (B, N or M), each divided by its mean."""
    with torch.no_grad():
        return (image / (means.image + TINY) - text / (means.text + TINY)).abs().mean(1)


def sample_weights(difference: Tensor, strength: float) -> Tensor:
    """The loss weights w_i (B,) of differences d_i (B,); 1 at strength 0."""
    return 1.0 + strength * difference / (difference.mean() + TINY)


def weighted_mean(losses: Tensor, weights: Tensor) -> Tensor:
    """`sum_i w_i l_i / sum_i w_i`."""
    return (weights * losses).sum() / weights.sum()


class OnlineWeights:
    """The d_i and w_i (M,) of the support, taken anew after each epoch from the image sides that its queries met in it.

    An epoch's sides cost nothing more than the steps that compute them. They are divided by the means that the epoch began with.
    """

    def __init__(self, image: Tensor, text: Tensor, strength: float) -> None:
        """Begin with the sides (M, N) before any step."""
        self._text, self._strength = text, strength
        self._means, self._image_means = Means.over([(image, text)]), image.mean(1)
        self._met = disagreement(image, text, self._means)
        self.difference, self.weights = self._met.clone(), sample_weights(self._met, strength)

    def meet(self, rows: Tensor, image: Tensor) -> None:
        """Remember the image side (B, N) that the support queries `rows` (B,) meet."""
        met = image.detach()
        self._met[rows], self._image_means[rows] = disagreement(met, self._text[rows], self._means), met.mean(1)

    def renew(self) -> None:
        """Weigh by what was met; called after each epoch."""
        self.difference, self.weights = self._met.clone(), sample_weights(self._met, self._strength)
        self._means = replace(self._means, image=float(self._image_means.mean(dtype=torch.float64)))
