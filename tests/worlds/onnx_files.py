"""Adapters of every method over a tiny encoder, as ONNX files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from tests.worlds.evaluation import Scene
from tests.worlds.models import MODEL, write_model
from xmap.stages.config import EncoderConfig
from xmap.stages.encoder.identity import resolve
from xmap.stages.encoder.model import Encoder
from xmap.stages.eval.scoring import Run
from xmap.stages.fewshot.cache import OpenCache
from xmap.stages.methods.registry import METHODS
from xmap.stages.onnx.form import About
from xmap.stages.onnx.network import Network
from xmap.stages.onnx.write import write_network
from xmap.store.memory.notes import Notes

# The width of the features of `Scene`.
WIDTH = 8
SIZE = (32, 32)


@dataclass(frozen=True)
class OnnxWorld:
    """A folder with a store and an encoder that fit each other."""

    scene: Scene
    encoder: Encoder

    def run(self, method: str, seed: int = 1) -> Run:
        """A trained adapter, in two epochs where the method has any."""
        quick = {"epochs": 2} if "epochs" in METHODS[method].options.model_fields else {}
        return self.scene.run(method, seed, quick or {})

    def network(self, run: Run) -> Network:
        return Network(run.adapter, OpenCache(run.cache, run.texts), self.encoder)

    def about(self, run: Run) -> About:
        temperature = float(run.adapter.summary["calibration"]["temperature"])
        labels = tuple(run.texts.summary["classes"])
        return About(run.adapter.fingerprint, run.method, labels, temperature, self.encoder.identity.preprocess, "cache/values.parquet")

    def write(self, run: Run, folder: Path, **more: int) -> Network:
        network = self.network(run)
        write_network(network, self.about(run), SIZE, folder, **more)
        return network


@lru_cache(maxsize=1)
def onnx_world(root: Path) -> OnnxWorld:
    folder = write_model(root / "model", model={**MODEL, "embed_dim": WIDTH})
    identity = resolve(EncoderConfig(model=f"local-dir:{folder}"), Notes(None), None)
    return OnnxWorld(Scene(root / "store"), Encoder.load(identity, "cpu", texts=False))


def pictures(count: int, seed: int = 3) -> np.ndarray:
    """Pixels (B, H, W, 3) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (count, *SIZE, 3), dtype=np.uint8)
