"""A cache of many keys through the commands: no affinity of a batch to all keys is ever formed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from typer.testing import CliRunner

from tests.worlds.few_shot import World
from xmap.cli.main import app
from xmap.store.artifacts.artifact import Store
from xmap.store.formats.tables import read_table

SHOTS, CLASSES = 5000, 4
KEYS = SHOTS * CLASSES


class Largest(TorchDispatchMode):
    """The most values that any tensor held which an operation made."""

    values = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for found in made if isinstance(made, tuple | list) else [made]:
            if isinstance(found, torch.Tensor):
                self.values = max(self.values, found.numel())
        return made


def call(store: Path, command: str, *arguments: str) -> int:
    settings = ["--store", str(store), "--features", "toy", "--shots", str(SHOTS), "--seeds", "1", "--methods", "tip-adapter"]
    with Largest() as largest:
        result = CliRunner().invoke(app, [command, *settings, *arguments])
    assert result.exit_code == 0, result.output
    return largest.values


def test_twenty_thousand_keys_meet_no_query_all_at_once(tmp_path: Path) -> None:
    world = World(tmp_path, classes=CLASSES)
    splits = {"train": world.rows("train", SHOTS), "val": world.rows("val", 200), "test": world.rows("test", 100)}
    world.images(splits, shard=5000)
    world.texts()
    index = ["--index", "IVF64,Flat", "--recall", "0.9"]
    call(tmp_path, "build-cache", *index)
    # The largest there may be: the keys with their channels, never validation samples by keys.
    for command in ("train", "eval"):
        assert call(tmp_path, command, *index, "--top-k", "100") <= KEYS * world.width < 800 * KEYS
    (adapter,) = Store(tmp_path).artifacts("adapter")
    assert [path.name for path in adapter.files()] == ["adapter.safetensors", "train.parquet", "kept.parquet", "out_of_sample.parquet"]
    assert adapter.summary["stored_bytes"] < 10_000
    assert len(read_table(adapter.files(prefix="affinity/"))) == KEYS
    sparse, dense = accuracy(Store(tmp_path)), 0.0
    assert call(tmp_path, "train", *index) >= 800 * KEYS, "the spy sees the dense affinities"
    call(tmp_path, "eval", *index)
    dense = accuracy(Store(tmp_path))
    assert abs(sparse - dense) < 0.05


def accuracy(store: Store) -> float:
    """That of the newest evaluation."""
    found = read_table(store.artifacts("eval")[-1].file("predictions.parquet"))
    return float(np.mean(found["predicted"].to_numpy() == found["label"].to_numpy()))
