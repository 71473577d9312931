"""Folders of files that are not decoded, and data read as a command would."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from xmap.stages.config import DataConfig
from xmap.stages.datasets.dataset import Dataset
from xmap.stages.datasets.open import open_dataset


def touch(root: Path, *names: str) -> Path:
    """Files at the given relative paths, each of a content of its own: its first name."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode("utf-8", "surrogateescape"))
    return root


def read(root: Path | str, **config: object) -> Dataset:
    return open_dataset(DataConfig(data=str(root), **config))


def counts(dataset: Dataset, split: str) -> dict[int, int]:
    """Samples a class in `split`."""
    return dict(Counter(sample.label for sample in dataset.split(split)))
