"""Prediction on new images with a trained adapter: class probabilities, the zero-shot answer beside them, and the evidence.

Nothing is written and nothing of a dataset is needed: an adapter, its cache, its class texts and the encoder they were made with.
Images are decoded in threads (Pillow lets go of the interpreter while it works) and encoded in batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from xmap.stages.adapters.neighbors import key_affinity
from xmap.stages.adapters.scorer import Scorer
from xmap.stages.encoder.model import Encoder
from xmap.stages.images.decode import RULES, BadImage, Rules
from xmap.stages.images.depths import assumed
from xmap.stages.images.read import Given
from xmap.stages.predict.loader import Batch, ImageLoader
from xmap.stages.predict.prediction import Asked, Neighbor, Prediction
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
        encoder: Encoder,
        progress: Progress,
        batch_size: int,
        workers: int,
        rules: Rules = RULES,
    ) -> Iterator[Prediction]:
        """One prediction an image, in order; images that cannot be read are among them."""
        progress.start("predict", len(images))
        loader = ImageLoader(encoder, rules, workers)
        for batch in loader.batches(images, batch_size):
            yield from self._answers(batch, loader)
            progress.advance(len(batch))
        if loader.depths:
            progress.say(assumed(loader.depths))

    def _answers(self, batch: Batch, loader: ImageLoader) -> Iterator[Prediction]:
        sound = any(not isinstance(image, BadImage) for _, image in batch)
        scored = iter(self._scored(torch.from_numpy(loader.encoded(batch))) if sound else ())
        names, nothing = self._text.names, np.empty(0, np.float32)
        for path, image in batch:
            if isinstance(image, BadImage):
                yield Prediction(path, names, nothing, nothing, error=image)
            else:
                yield Prediction(path, names, **next(scored))

    def _scored(self, raw: Tensor) -> list[dict[str, Any]]:
        """The fields of a `Prediction`, one set for each row of raw features (B, C)."""
        features = normalize(raw.float(), dim=-1)
        scores = self._scorer.scores(features)
        columns: dict[str, Any] = {
            "probabilities": self._scorer.probabilities(scores.logits).numpy(),
            "zero_shot": self._text.logits(features).softmax(1).numpy(),
            "image": None if scores.image is None else scores.image.numpy(),
            "text": None if scores.text is None else scores.text.numpy(),
            "gamma": None if scores.gamma is None else scores.gamma.expand(len(features)).tolist(),
        }
        if not bool(torch.isfinite(scores.logits).all()):
            raise InputError("the adapter's scores of these images are not finite numbers; run `xmap verify`, or train it again.")
        columns["neighbors"] = self._neighbors(features, self._asked.neighbors) if self._asked.neighbors else [()] * len(features)
        columns["prediction_set"] = self._sets(scores.logits)
        if self._asked.rejection is not None:
            strange = self._scorer.strangeness(features, scores.logits)
            columns |= {"strangeness": strange.tolist(), "rejected": self._asked.rejection.rejects(strange).tolist()}
        return [{name: None if column is None else column[row] for name, column in columns.items()} for row in range(len(features))]

    def _sets(self, logits: Tensor) -> list[tuple[str, ...]] | None:
        """The names in each set, the most probable first."""
        if self._asked.sets is None:
            return None
        members, names = self._asked.sets.members(logits), self._text.names
        orders = (-logits).argsort(dim=1, stable=True)
        return [tuple(names[label] for label in order[row[order]].tolist()) for row, order in zip(members, orders, strict=True)]

    def _neighbors(self, features: Tensor, k: int) -> list[tuple[Neighbor, ...]]:
        found, values = self._scorer.neighbors(features, k), self._scorer.cache.values
        affinities = key_affinity(found, self._scorer.fitted.settings)
        return [
            tuple(
                Neighbor(values.sample_ids[row], values.class_names[row], float(affinity))
                for row, affinity in zip(rows, near, strict=True)
                if row >= 0
            )
            for rows, near in zip(found.rows.tolist(), affinities.tolist(), strict=True)
        ]


def encode(images: Sequence[Given], encoder: Encoder, batch_size: int, workers: int, rules: Rules = RULES) -> Array:
    """The encoder's raw features (B, C) float32 of images, in order. Raises `InputError` for the first that cannot be read."""
    parts = [np.empty((0, encoder.identity.width), np.float32)]
    loader = ImageLoader(encoder, rules, workers)
    for batch in loader.batches(images, batch_size):
        for name, image in batch:
            if isinstance(image, BadImage):
                raise InputError(f"{name} cannot be read: {image.kind}, {image.message}; leave it out.")
        parts.append(loader.encoded(batch))
    return np.concatenate(parts).astype(np.float32, copy=False)
