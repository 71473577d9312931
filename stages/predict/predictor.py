"""Prediction on new images with a trained adapter: class probabilities, the zero-shot answer beside them, and the evidence.

Nothing is written and nothing of a dataset is needed: an adapter, its cache, its class texts and the encoder they were made with.
Images are decoded in threads (Pillow lets go of the interpreter while it works) and encoded in batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from xmap.stages.adapters.neighbors import batches, key_affinity
from xmap.stages.encoder.model import Encoder
from xmap.stages.images.decode import RULES, BadImage, Rules
from xmap.stages.images.depths import assumed
from xmap.stages.methods.protocol import Cache, Fitted, Method, Scores, index_queries
from xmap.stages.predict.loader import ImageLoader, Loaded
from xmap.stages.predict.prediction import Neighbor, Prediction
from xmap.stages.progress import Progress
from xmap.store.errors import InputError
from xmap.store.formats.index import VectorIndex
from xmap.store.formats.log import Values
from xmap.store.formats.tables import Array


@dataclass(frozen=True)
class Held:
    """An image in memory: what answers call it, and the bytes of its file."""

    name: str
    data: bytes

    def __str__(self) -> str:
        return self.name


Given = Path | Held


class Predictor:
    """An adapter ready to score: `predict` images, or `score` features of its encoder."""

    def __init__(self, method: Method, fitted: Fitted, cache: Cache, index: VectorIndex, own_index: bool, values: Values) -> None:
        self._method, self._fitted, self.cache = method, fitted, cache
        self._index, self._own, self._values = index, own_index, values

    @property
    def width(self) -> int:
        """C, the width of the features it takes."""
        return int(self.cache.text.weights.shape[1])

    def scores(self, features: Tensor) -> Scores:
        """Scores of unit features (B, C)."""
        with torch.no_grad():
            return self._method.scores(self._fitted, self.cache, features)

    def predict(
        self,
        images: Sequence[Given],
        encoder: Encoder,
        progress: Progress,
        batch_size: int,
        workers: int,
        neighbors: int,
        rules: Rules = RULES,
    ) -> Iterator[Prediction]:
        """One prediction an image, in order; images that cannot be read are among them."""
        progress.start("predict", len(images))
        loader = ImageLoader(encoder.identity.preprocess, rules, workers)
        for names, loaded in _loaded(images, loader, batch_size):
            yield from self._answers(names, loaded, encoder, neighbors)
            progress.advance(len(loaded))
        if loader.depths:
            progress.say(assumed(loader.depths))

    def _answers(self, paths: Sequence[str], loaded: Sequence[Loaded], encoder: Encoder, k: int) -> Iterator[Prediction]:
        images = [image for image in loaded if isinstance(image, Tensor)]
        scored = iter(self._scored(torch.from_numpy(encoder.encode_images(torch.stack(images))), k) if images else ())
        names, nothing = self.cache.text.names, np.empty(0, np.float32)
        for path, image in zip(paths, loaded, strict=True):
            if isinstance(image, BadImage):
                yield Prediction(path, names, nothing, nothing, error=image)
            else:
                yield Prediction(path, names, **next(scored))

    def _scored(self, raw: Tensor, k: int) -> list[dict[str, Any]]:
        """The fields of a `Prediction`, one set for each row of raw features (B, C)."""
        features = normalize(raw.float(), dim=-1)
        scores = self.scores(features)
        columns = {
            "probabilities": scores.logits.float().softmax(1).numpy(),
            "zero_shot": self.cache.text.logits(features).softmax(1).numpy(),
            "image": None if scores.image is None else scores.image.numpy(),
            "text": None if scores.text is None else scores.text.numpy(),
            "gamma": None if scores.gamma is None else scores.gamma.expand(len(features)).tolist(),
        }
        if not bool(torch.isfinite(scores.logits).all()):
            raise InputError("the adapter's scores of these images are not finite numbers; run `xmap verify`, or train it again.")
        near = self._neighbors(features, k) if k else [()] * len(features)
        rows = ({name: None if column is None else column[row] for name, column in columns.items()} for row in range(len(features)))
        return [{**row, "neighbors": found} for row, found in zip(rows, near, strict=True)]

    def _neighbors(self, features: Tensor, k: int) -> list[tuple[Neighbor, ...]]:
        queries = index_queries(self._method, self._fitted, features) if self._own else features
        found = self._index.search(queries.numpy(), k)
        affinities = key_affinity(found, self._fitted.settings)
        return [
            tuple(
                Neighbor(self._values.sample_ids[row], self._values.class_names[row], float(value))
                for row, value in zip(rows, values, strict=True)
                if row >= 0
            )
            for rows, values in zip(found.rows.tolist(), affinities.tolist(), strict=True)
        ]


def encode(images: Sequence[Given], encoder: Encoder, batch_size: int, workers: int, rules: Rules = RULES) -> Array:
    """The encoder's raw features (B, C) float32 of images, in order. Raises `InputError` for the first that cannot be read."""
    parts = [np.empty((0, encoder.identity.width), np.float32)]
    for names, loaded in _loaded(images, ImageLoader(encoder.identity.preprocess, rules, workers), batch_size):
        for name, image in zip(names, loaded, strict=True):
            if isinstance(image, BadImage):
                raise InputError(f"{name} cannot be read: {image.kind}, {image.message}; leave it out.")
        parts.append(encoder.encode_images(torch.stack([image for image in loaded if isinstance(image, Tensor)])))
    return np.concatenate(parts).astype(np.float32, copy=False)


def _loaded(images: Sequence[Given], loader: ImageLoader, batch_size: int) -> Iterator[tuple[list[str], list[Loaded]]]:
    """Names and pixels of `batch_size` images at a time."""
    for part in batches(len(images), batch_size):
        given = [image.data if isinstance(image, Held) else image for image in images[part]]
        yield [str(image) for image in images[part]], loader.load(given)
