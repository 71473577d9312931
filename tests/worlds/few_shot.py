"""A small world of random features, written as the real artifacts that the stages read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from xmap.store.artifacts.artifact import Artifact, Draft, Store
from xmap.store.artifacts.identity import Identity
from xmap.store.formats.features import ImageFeatures, TextFeatures, write_images, write_texts
from xmap.store.formats.unprojected import UNPROJECTED, Unprojected, write_unprojected
from xmap.testing import SCALE, random_labelled, random_support, random_text


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


class World:
    """Classes as clusters around random centres; texts lie nearer to each other than the images do."""

    def __init__(self, root: Path, classes: int = 4, width: int = 8, seed: int = 0) -> None:
        self.store = Store(root)
        self.random = np.random.default_rng(seed)
        self.names = [f"class {chr(97 + label)}" for label in range(classes)]
        self.centers = unit(self.random.normal(size=(classes, width)))
        self.width = width

    def rows(self, split: str, counts: int | Sequence[int], views: int = 1, spread: float = 0.5) -> ImageFeatures:
        """`counts` samples a class, each with `views` views, in the order of their ids: classes are mixed."""
        each = [counts] * len(self.names) if isinstance(counts, int) else list(counts)
        labels = np.asarray([label for label, count in enumerate(each) for _ in range(count)])
        labels = self.random.permutation(labels)
        ids, rows, numbers, features = [], [], [], []
        for number, label in enumerate(labels):
            base = self.centers[label] + spread * self.random.normal(size=self.width) / np.sqrt(self.width)
            for view in range(views):
                ids.append(f"{split}/{number:04d}.jpg")
                rows.append(label)
                numbers.append(view)
                features.append(3.0 * (base + (0.1 * self.random.normal(size=self.width) if view else 0.0)))
        matrix = np.asarray(features, dtype=np.float32).reshape(-1, self.width)
        return ImageFeatures(tuple(ids), np.asarray(rows, np.int32), np.asarray(numbers, np.int16), matrix)

    def images(self, splits: Mapping[str, ImageFeatures], shard: int = 7, name: str = "toy") -> Artifact:
        """An images artifact; each split in shards of `shard` samples."""
        counts = {split: int((rows.views == 0).sum()) for split, rows in splits.items()}
        with self.store.build(Identity("images", name, {"splits": {**counts}, "draw": str(self.random.integers(1 << 40))})) as held:
            assert isinstance(held, Draft)
            for split, rows in splits.items():
                views = int(rows.views.max()) + 1 if len(rows) else 1
                for number, start in enumerate(range(0, max(len(rows), 1), shard * views)):
                    part = rows.take(np.arange(start, min(start + shard * views, len(rows))))
                    write_images(held.path / f"{split}-{number:05d}.parquet", part, split, "f")
            return held.commit(
                {"dataset": name, "classes": self.names, "logit_scale": SCALE, "counts": counts, "parts": dict.fromkeys(splits, name)}
            )

    def texts(self, templates: int = 2, width: int | None = None) -> Artifact:
        """A texts artifact: the centres seen through `templates` prompts."""
        labels = np.repeat(np.arange(len(self.names)), templates)
        features = self.centers[labels] + 1.0 + 0.2 * self.random.normal(size=(len(labels), self.width))
        features = features[:, :width] if width else features
        rows = TextFeatures(
            labels.astype(np.int32),
            tuple(self.names[label] for label in labels),
            tuple(f"prompt {number % templates} of {{}}" for number in range(len(labels))),
            (5.0 * features).astype(np.float32),
        )
        with self.store.build(Identity("texts", "toy", {"templates": templates, "width": width})) as held:
            assert isinstance(held, Draft)
            write_texts(held.path / "texts.parquet", rows, "f")
            return held.commit({"classes": self.names, "logit_scale": SCALE})

    def projection(self, texts: Artifact) -> Artifact:
        """What a text tower one wider gives before its projection: rows that this takes to the class centres."""
        own = np.random.default_rng(len(self.names))
        projection = own.normal(size=(self.width + 1, self.width))
        features = self.centers @ np.linalg.pinv(projection) + 0.1 * own.normal(size=(len(self.names), self.width + 1))
        ids = np.arange(len(self.names), dtype=np.int32)
        with self.store.build(Identity("projection", "toy", {}, {"texts": texts.fingerprint})) as held:
            if isinstance(held, Artifact):
                return held
            write_unprojected(held.path / UNPROJECTED, Unprojected(ids, features.astype(np.float32), projection.astype(np.float32)))
            return held.commit({"classes": self.names})


__all__ = ["SCALE", "World", "random_labelled", "random_support", "random_text", "unit"]
