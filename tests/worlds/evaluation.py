"""A few-shot world whose methods are trained and evaluated by the real stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.worlds.few_shot import World, unit
from xmap.stages.build_cache.stage import build_cache
from xmap.stages.config import CacheConfig, EvalConfig, Protocol
from xmap.stages.eval.scoring import Run
from xmap.stages.eval.stage import evaluate
from xmap.stages.fewshot.load import load_text
from xmap.stages.methods.registry import method_entry
from xmap.stages.train.identity import TrainSpec
from xmap.stages.train.stage import train
from xmap.stages.workplace.place import Workplace
from xmap.store.artifacts.artifact import Artifact
from xmap.store.artifacts.identity import Identity
from xmap.store.formats.index import VectorIndex
from xmap.store.formats.log import read_values

SPREAD = 1.2


class Scene:
    """A world with drawn or fixed supports, and its evaluation."""

    def __init__(self, root: Path, fixed: bool = False, shots: int = 3, tests: int = 12) -> None:
        self.world = World(root, classes=6)
        self.shots, self.fixed = shots, fixed
        split = f"support-{shots}" if fixed else "train"
        counts = shots if fixed else shots + 5
        self.test = self.world.rows("test", [tests] * 5 + [0], spread=SPREAD)
        self.images = self.world.images(
            {split: self.world.rows("s", counts, spread=SPREAD), "val": self.world.rows("val", 4, spread=SPREAD), "test": self.test}
        )
        self.texts = self.world.texts()

    def run(self, method: str, seed: int, given: Mapping[str, Any] | None = None, protocol: Protocol = "few") -> Run:
        draw = None if self.fixed else seed
        config = CacheConfig(shots=self.shots)
        identity = Identity("cache", "toy", {"shots": self.shots, "seed": draw}, {"images": self.images.fingerprint})
        workplace = Workplace(self.world.store, device="cpu")
        cache = build_cache(workplace, identity, self.images, self.texts, config, draw)
        options: Any = method_entry(method).options(**(given or ({"epochs": 2} if method == "tip-adapter-f" else {})))
        identity = Identity("adapter", method, {"method": method, "seed": seed, "protocol": protocol}, {"cache": cache.fingerprint})
        beside = {"projection": self.world.projection(self.texts)} if method_entry(method).unprojected else {}
        adapter = train(workplace, identity, self.images, self.texts, cache, TrainSpec(method, options, seed, protocol), beside)
        return Run(method, seed, cache, adapter, self.texts)

    def evaluate(self, runs: Sequence[Run], target: bool = False, **config: Any) -> Artifact:
        inputs = {f"run-{number}": run.adapter.fingerprint for number, run in enumerate(runs)}
        identity = Identity("eval", "toy", {"target": target, **config}, inputs)
        return evaluate(Workplace(self.world.store, device="cpu"), identity, self.images, self.texts, runs, EvalConfig(**config), target)

    def logits(self, run: Run) -> np.ndarray:
        """Zero-shot or Tip-Adapter's test logits, by the formulas."""
        text = load_text(self.texts)
        features = unit(self.test.features)
        logits = text.logit_scale * features @ text.weights.numpy().T
        settings = run.adapter.summary["settings"]
        if run.method == "zero-shot":
            return logits
        affinity = np.exp(-settings["beta"] * (1 - features @ VectorIndex.load(run.cache.file("image.faiss")).keys().T))
        labels = read_values(run.cache.file("values.parquet")).labels
        return logits + settings["alpha"] * np.stack([affinity[:, labels == label].sum(axis=1) for label in range(6)], axis=1)
