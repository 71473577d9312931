"""An adapter on a device, ready to score."""

from __future__ import annotations

import torch
from torch import Tensor

from xmap.stages.adapters.files import cache_on_device, on_device
from xmap.stages.fewshot.task import Retrieved
from xmap.stages.methods.protocol import Cache, Fitted, Method, Scores, index_queries
from xmap.store.formats.index import VectorIndex, gpu_count


class Scorer:
    """Scores batches with one adapter: over all keys, or over the `k` that its own index retrieves (0: all)."""

    def __init__(self, method: Method, fitted: Fitted, cache: Cache, index: VectorIndex | None, k: int, device: str) -> None:
        self._method, self._device = method, device
        self._fitted, self._cache = on_device(fitted, device), cache_on_device(cache, device)
        self._k = 0 if index is None else k
        self._index = index
        if index is not None and self._k and device == "cuda" and gpu_count():
            self._index = index.on_gpu()

    def scores(self, features: Tensor) -> Scores:
        """Scores of unit features (B, C), back on the CPU."""
        with torch.no_grad():
            found = self._method.scores(self._fitted, self._cache, features.to(self._device), self._retrieved(features))
        sides = [None if side is None else side.cpu() for side in (found.image, found.text, found.gamma)]
        return Scores(found.logits.float().cpu(), *sides)

    def index_queries(self, features: Tensor) -> Tensor:
        """Unit features (B, C) as the adapter's own index takes them, on the CPU."""
        return self._queries(features).cpu()

    def _queries(self, features: Tensor) -> Tensor:
        with torch.no_grad():
            return index_queries(self._method, self._fitted, features.to(self._device))

    def _retrieved(self, features: Tensor) -> Retrieved | None:
        if self._index is None or not self._k:
            return None
        return Retrieved.of(self._index, self._queries(features), self._k)
