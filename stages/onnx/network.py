"""Encoder, caches and class texts of an adapter as one torch module from pixels to answers: what is traced into a file.

The method's own `scores` is called, so that no formula is written twice; the rest is what `Predictor` and `Scorer` do around it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from xmap.stages.adapters.files import load_adapter
from xmap.stages.adapters.strangeness import strangeness
from xmap.stages.encoder.model import Encoder
from xmap.stages.fewshot.cache import OpenCache
from xmap.stages.methods.protocol import index_queries
from xmap.stages.methods.protocol import method as load_method
from xmap.stages.onnx.form import OUTPUTS
from xmap.stages.predict.prediction import NEIGHBORS
from xmap.store.artifacts.artifact import Artifact
from xmap.store.errors import InputError

# How to come to answers without a file.
REMEDY = "export it without --onnx"


class Network(torch.nn.Module):
    """From pixels (B, H, W, 3) uint8 to the `OUTPUTS` that the method has, in their order.

    Raises `InputError` where the adapter or its encoder cannot be one file.
    """

    def __init__(self, adapter: Artifact, cache: OpenCache, encoder: Encoder) -> None:
        super().__init__()
        fitted, held = load_adapter(adapter, cache)
        if held.index is not None:
            raise InputError(f"{adapter.name} takes its keys from the cache's index (--train-top-k), which no ONNX file has; {REMEDY}.")
        if encoder.identity.precision != "fp32":
            raise InputError(f"the encoder works at --precision {encoder.identity.precision}, ONNX files hold fp32; {REMEDY}.")
        self._method = load_method(str(adapter.summary["method"]))
        self._fitted, self._cache, self._space = fitted, held, cache.space
        # Asked once with numbers: while it is traced a tensor has none.
        _ = held.segments.even
        own = fitted.tensors.get("keys")
        self._keys = torch.from_numpy(cache.index.keys()) if own is None else own
        self._mapped = own is not None
        self._encoder = encoder.module
        preprocess: Mapping[str, Any] = encoder.identity.preprocess
        self._mean, self._std = (torch.tensor(preprocess[key]).view(3, 1, 1) for key in ("mean", "std"))
        self.requires_grad_(False).eval()

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """The answers to pixels (B, H, W, 3) uint8."""
        batch = (pixels.permute(0, 3, 1, 2).float() / 255.0 - self._mean) / self._std
        features = normalize(self._encoder.encode_image(batch).float(), dim=-1)
        scores, text = self._method.scores(self._fitted, self._cache, features), self._cache.text
        logits = scores.logits.float()
        rows, affinities = self._nearest(features)
        found = {
            "probabilities": (logits / self._fitted.calibration.temperature).softmax(1),
            "logits": logits,
            "zero_shot": text.unguided.logits(features).softmax(1),
            "affinity_image": scores.image,
            "affinity_text": scores.text,
            "gamma": None if scores.gamma is None else scores.gamma.expand(features.shape[0]),
            "strangeness": strangeness(logits, self._space.cosines(features)),
            "neighbors": rows,
            "affinities": affinities,
        }
        return {name: value for name in OUTPUTS if (value := found[name]) is not None}

    def tensors(self) -> list[Tensor]:
        """What it holds beside the encoder's own: the adapter's, the texts', the space's and the keys that neighbours are of."""
        space = self._space
        text = self._cache.text
        held = (text.weights, *(() if text.means is None else (text.means,)), space.center, space.root, space.classes, self._keys)
        return [*held, *(tensor for name, tensor in self._fitted.tensors.items() if name != "keys")]

    def _nearest(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """The rows (B, k) of the nearest keys and their affinities, as `key_affinity` has them."""
        queries = index_queries(self._method, self._fitted, features) if self._mapped else features
        cosines, rows = (queries @ self._keys.T).topk(min(NEIGHBORS, self._keys.shape[0]), dim=1)
        settings = self._fitted.settings
        return rows, torch.exp(-float(settings["beta"]) * (1.0 - cosines)) if "beta" in settings else cosines
