"""Prediction on new images with a trained adapter: class probabilities, the zero-shot answer beside them, and the evidence.

Nothing is written and nothing of a dataset is needed: an adapter, its cache, its class texts and the encoder they were made with.
Images are decoded in threads (Pillow lets go of the interpreter while it works) and encoded in batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from xmap.stages.adapters.neighbors import key_affinity
from xmap.stages.adapters.scorer import Scorer
from xmap.stages.encoder.model import Encoder
from xmap.stages.images.decode import RULES, BadImage, Rules
from xmap.stages.images.read import Given
from xmap.stages.methods.columns import encoder_columns
from xmap.stages.predict.answers import Answers, NeighborColumns
from xmap.stages.predict.encoders import Encoders
from xmap.stages.predict.loader import Batch, ImageLoader
from xmap.stages.predict.prediction import Asked
from xmap.stages.workplace.progress import Progress
from xmap.store.errors import InputError
from xmap.store.formats.tables import Array

NOTHING_MORE = Asked()


class Predictor:
    """What an adapter says of images, of all that it is asked."""

    def __init__(self, scorer: Scorer, asked: Asked = NOTHING_MORE) -> None:
        self._scorer, self._text, self._asked = scorer, scorer.cache.text, asked

    def predict(
        self,
        images: Sequence[Given],
        encoder: Encoder | Encoders,
        progress: Progress,
        batch_size: int,
        workers: int,
        rules: Rules = RULES,
    ) -> Iterator[Answers]:
        """Answers of images in order, `batch_size` at a time; images that cannot be read are among them."""
        loader = ImageLoader(encoder, rules, workers)

        def answer(batch: Batch) -> Answers:
            return self.answers(batch.names, loader.encoded(batch), batch.bad)

        return loader.answered(images, batch_size, progress, answer)

    def answers(self, names: Sequence[str], features: Array, bad: Mapping[int, BadImage]) -> Answers:
        """What the adapter says of B images by the raw features (G, C) of those that could be read; the others are in `bad`, by row.

        Raises `InputError` for scores that are not finite.
        """
        if not len(features):
            return Answers.of(names, self._text.names, bad, {})
        units = _unit(features)
        return Answers.of(names, self._text.names, bad, self._scored(units), self._neighbors(units))

    def _scored(self, features: Tensor) -> dict[str, Array | None]:
        """The columns of `Answers`, of images by their unit features (G, C)."""
        scores = self._scorer.scores(features)
        if not bool(torch.isfinite(scores.logits).all()):
            raise InputError("the adapter's scores of these images are not finite numbers; run `xmap verify`, or train it again.")
        columns: dict[str, Tensor | None] = {
            "probabilities": self._scorer.probabilities(scores.logits),
            "zero_shot": self._scorer.cache.zero_shot(features).softmax(1),
            "image": scores.image,
            "text": scores.text,
            "gamma": None if scores.gamma is None else scores.gamma.expand(len(features)),
            "members": None if self._asked.sets is None else self._asked.sets.members(scores.logits),
            **encoder_columns(scores.encoders),
        }
        if self._asked.rejection is not None:
            strange = self._scorer.strangeness(features, scores.logits)
            columns |= {"strangeness": strange, "rejected": self._asked.rejection.rejects(strange)}
        return {name: None if column is None else column.numpy() for name, column in columns.items()}

    def _neighbors(self, features: Tensor) -> NeighborColumns | None:
        if not self._asked.neighbors:
            return None
        found, values = self._scorer.neighbors(features, self._asked.neighbors), self._scorer.cache.values
        return NeighborColumns(found.rows, key_affinity(found, self._scorer.fitted.settings), values.sample_ids, values.class_names)


def _unit(raw: Array) -> Tensor:
    # Rows that are mapped from a file cannot be written, of which torch would warn.
    return normalize(torch.from_numpy(np.require(raw, np.float32, "W")), dim=-1)


def encode(images: Sequence[Given], encoder: Encoder | Encoders, batch_size: int, workers: int, rules: Rules = RULES) -> Array:
    """The features (B, C) float32 of images in order: raw ones of one encoder, wide ones of several.

    Raises `InputError` for the first that cannot be read."""
    parts = [np.empty((0, Encoders.of(encoder).width), np.float32)]
    loader = ImageLoader(encoder, rules, workers)
    for batch in loader.batches(images, batch_size):
        for row, image in batch.bad.items():
            raise InputError(f"{batch.names[row]} cannot be read: {image.kind}, {image.message}; leave it out.")
        parts.append(loader.encoded(batch))
    return np.concatenate(parts).astype(np.float32, copy=False)
