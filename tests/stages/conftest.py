"""A real model and folders of real images as fixtures, and an environment that looks for nothing on a model hub."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.worlds.models import write_model
from tests.worlds.pictures import write_images

# Read when open_clip is first imported, which may be before any test's own environment is set.
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Models this small only lose time on several threads, and test processes share the cores."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a ModifiedResNet CLIP of width 8: loads and encodes in milliseconds. Not to be changed by tests."""
    return write_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes in three splits, 7 + 2 + 3 images."""
    train = [f"train/{name}/{number}.jpg" for name, count in (("cat", 4), ("dog", 3)) for number in range(count)]
    rest = ["val/cat/v.png", "val/dog/v.png", "test/cat/t.jpg", "test/dog/t.jpg", "test/dog/u.webp"]
    return write_images(tmp_path / "photos", train + rest)


@pytest.fixture
def plan(photos: Path, tiny_model_dir: Path, tmp_path: Path) -> Callable[..., Any]:
    # Only once the environment is set.
    from tests.worlds.extraction import planner

    return planner(photos, tiny_model_dir, tmp_path)
