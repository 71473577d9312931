"""A trained adapter as an object that scores features."""

from __future__ import annotations

from typing import Any

import numpy as np

from store.artifact import Artifact, Store
from store.errors import ArtifactMissing, InputError
from store.tables import Array


class Adapter:
    """A trained adapter: `predict_proba` turns image features of its encoder into class probabilities."""

    def __init__(self, store: Store, artifact: Artifact) -> None:
        from stages.methods.method import method
        from stages.train import load_adapter

        cache, texts = (_input(store, artifact, name) for name in ("cache", "texts"))
        self.artifact = artifact
        self.fitted, self.cache = load_adapter(artifact, texts, cache)
        self.method = method(str(artifact.summary["method"]))

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the columns of `predict_proba`."""
        return self.cache.text.names

    def predict_proba(self, features: Any) -> Array:
        """Class probabilities (B, N) float32 of image features (B, C), raw or of unit norm. Raises `InputError`."""
        import torch

        width = self.cache.text.weights.shape[1]
        found = torch.as_tensor(np.asarray(features), dtype=torch.float32)
        if found.dim() != 2 or found.shape[1] != width or not bool(torch.isfinite(found).all()):
            raise InputError(f"features of shape {tuple(found.shape)}: this adapter takes finite features of shape (B, {width}).")
        with torch.no_grad():
            logits = self.method.scores(self.fitted, self.cache, torch.nn.functional.normalize(found, dim=-1)).logits
        chances: Array = logits.float().softmax(1).numpy()
        return chances


def load_named(store: Store, name: str) -> Adapter:
    """The newest adapter whose name, folder or fingerprint is or starts with `name`. Raises `ArtifactMissing`."""
    adapters = store.artifacts("adapter")
    exact = [found for found in adapters if name in (found.name, found.path.name, str(found.path))]
    begun = [found for found in adapters if name and found.fingerprint.startswith(name)]
    if not exact and not begun:
        raise ArtifactMissing("adapter", name, "run `xmap status` to see what there is, or `xmap train`.")
    return Adapter(store, (exact or begun)[-1])


def _input(store: Store, artifact: Artifact, name: str) -> Artifact:
    found = store.by_fingerprint(artifact.inputs[name])
    if found is None:
        remedy = f"adapter {artifact.name!r} needs it; run `{artifact.manifest['command']}` again."
        raise ArtifactMissing(name, artifact.inputs[name][:8], remedy)
    return found
