"""The columns of the affinity log that a batch of labelled samples shows."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from xmap.stages.methods.maths.hard_samples import Means, disagreement
from xmap.stages.methods.protocol import Fitted, Scores

FLOATS = ("gamma", "affinity_image", "affinity_text", "difference", "weight", "loss", "margin")
OBSERVED = ("predicted", *FLOATS)


def sample_columns(fitted: Fitted, scores: Scores, labels: Tensor) -> dict[str, Tensor]:
    """What samples with `labels` (B,) that `fitted` scored show: each column (B,), of each sample by itself.

    Affinities are the class sums of the true class; the margin is the true logit minus the best other one. The
    difference is relative to both sides' means over the support. Columns that a method has no caches for are absent.
    """
    true = labels[:, None]
    columns: dict[str, Tensor] = {}
    if scores.gamma is not None:
        columns["gamma"] = scores.gamma.expand(len(labels))
    for name, sums in (("affinity_image", scores.image), ("affinity_text", scores.text)):
        if sums is not None:
            columns[name] = sums.gather(1, true)[:, 0]
    if scores.image is not None and scores.text is not None:
        columns["difference"] = disagreement(scores.image, scores.text, Means.kept(fitted.settings))
    return columns_of(scores.logits, labels, columns)


def shares(encoders: Tensor) -> Tensor:
    """How much (B, E) of what several encoders say comes from each: its part of the spread of their logits (B, E, N), 0 to 1."""
    spread = encoders.float().std(2, correction=0)
    return spread / spread.sum(1, keepdim=True).clamp(min=torch.finfo(spread.dtype).tiny)


def encoder_columns(encoders: Tensor | None) -> dict[str, Tensor]:
    """Who of several encoders says what, by their parts (E, B, N) of the logits: each one's class and share, (B, E); nothing of one."""
    if encoders is None:
        return {}
    said = encoders.transpose(0, 1)
    return {"encoder_said": said.argmax(2), "encoder_share": shares(said)}


def columns_of(logits: Tensor, labels: Tensor, more: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The columns of the affinity log that every method has: predicted class, loss, margin; and the method's own."""
    margins = logits.scatter(1, labels[:, None], -torch.inf).amax(1) if logits.shape[1] > 1 else torch.zeros_like(logits[:, 0])
    true = logits.gather(1, labels[:, None]).squeeze(1)
    return {
        "predicted": logits.argmax(1),
        "loss": cross_entropy(logits, labels, reduction="none"),
        "margin": true - margins,
        **{name: column.detach() for name, column in more.items()},
    }
