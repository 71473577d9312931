"""An adapter of the store, ready to score: what evaluation, prediction and the Python API ask."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from xmap.stages.adapters.files import load_adapter, on_device, texts_are_tuned
from xmap.stages.adapters.promises import Promises
from xmap.stages.adapters.strangeness import strangeness
from xmap.stages.fewshot.cache import OpenCache, open_index
from xmap.stages.fewshot.task import Retrieved
from xmap.stages.methods.protocol import Scores, index_queries
from xmap.stages.methods.protocol import method as load_method
from xmap.store.artifacts.artifact import Artifact
from xmap.store.formats.index import Neighbors, VectorIndex, gpu_count


class Scorer:
    """Scores batches with one adapter, and finds the cached images near to them: by its own index where it has keys, else the cache's.

    It scores over all its keys, or over the `k` that its own index retrieves (0: all). Raises `ArtifactDamaged`, and `InputError`
    for an adapter that another version of its method has trained.
    """

    def __init__(self, artifact: Artifact, cache: OpenCache, device: str = "cpu", k: int = 0) -> None:
        self.cache, self._artifact, self._device = cache, artifact, device
        self.fitted, held = load_adapter(artifact, cache)
        self._method = load_method(str(artifact.summary["method"]))
        self._placed, self._cache = on_device(self.fitted, device), held.to(device)
        self._own, self._k = self.fitted.tensors.get("keys"), k
        self.promises = Promises(artifact, cache.text.classes)
        self._retrieving = self._on_gpu() if k and self._own is not None else None

    @property
    def uses_support(self) -> bool:
        """Whether its scores depend on the few-shot samples at all."""
        return bool(self.fitted.tensors) or self._cache.index is not None or texts_are_tuned(self.cache)

    @cached_property
    def _index(self) -> VectorIndex:
        return self.cache.index if self._own is None else open_index(self._artifact, len(self.cache.values), self._own.shape[1])

    def _on_gpu(self) -> VectorIndex:
        return self._index.on_gpu() if self._device == "cuda" and gpu_count() else self._index

    def scores(self, features: Tensor) -> Scores:
        """Scores of unit features (B, C), back on the CPU."""
        with torch.no_grad():
            found = self._method.scores(self._placed, self._cache, features.to(self._device), self._retrieved(features))
        sides = [None if side is None else side.cpu() for side in (found.image, found.text, found.gamma, found.encoders)]
        return Scores(found.logits.float().cpu(), *sides)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Calibrated class probabilities (B, N) of logits (B, N): their softmax at the adapter's temperature."""
        return (logits / self.fitted.calibration.temperature).softmax(1)

    def strangeness(self, features: Tensor, logits: Tensor) -> Tensor:
        """How far (B,) float64 unit features (B, C) with raw logits (B, N) are from everything known, 0 to 1."""
        return strangeness(logits, self.cache.space.cosines(features))

    def neighbors(self, features: Tensor, k: int) -> Neighbors:
        """The `k` keys nearest to each of the unit features (B, C); padded with row -1 where there are fewer."""
        return self._index.search(self._queries(features).cpu().numpy(), k)

    def _queries(self, features: Tensor) -> Tensor:
        """Features as the index takes them."""
        if self._own is None:
            return features
        with torch.no_grad():
            return index_queries(self._method, self._placed, features.to(self._device))

    def _retrieved(self, features: Tensor) -> Retrieved | None:
        return None if self._retrieving is None else Retrieved.of(self._retrieving, self._queries(features), self._k)
