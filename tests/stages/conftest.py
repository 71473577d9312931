"""A real open_clip model, small and random, and folders of real image files."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

# Read when open_clip is first imported, which may be before any test's own environment is set.
os.environ["HF_HUB_OFFLINE"] = "1"

MODEL = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 32},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
PREPROCESS = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "interpolation": "bicubic", "resize_mode": "shortest"}

MakeModel = Callable[..., Path]
MakeImages = Callable[..., Path]


def write_model(folder: Path, seed: int = 0, model: dict | None = None, preprocess: dict | None = None) -> Path:
    """A `local-dir:` model with random weights drawn from `seed`."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    written = {"model_cfg": model or MODEL, "preprocess_cfg": preprocess or PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(written))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    save_file({name: tensor.contiguous() for name, tensor in made.state_dict().items()}, folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder of its own, and no root's rights while the test runs: root may read and list everything."""
    with tempfile.TemporaryDirectory(prefix="xmap-") as name:
        folder = Path(name)
        if os.geteuid() != 0:
            yield folder
            return
        nobody = 65534
        os.chown(folder, nobody, nobody)
        os.seteuid(nobody)
        try:
            yield folder
        finally:
            os.seteuid(0)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Models this small only lose time on several threads, and test processes share the cores."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a ModifiedResNet CLIP of width 8: loads and encodes in milliseconds. Not to be changed by tests."""
    return write_model(tmp_path_factory.mktemp("models") / "tiny")


def picture(seed: int, size: tuple[int, int] = (40, 36)) -> Image.Image:
    """A smooth random picture: compresses like a photograph and differs from every other seed's."""
    draw = np.random.default_rng(seed)
    small = Image.fromarray(draw.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC)


def write_images(root: Path, names: list[str], start: int = 0) -> Path:
    """Real image files at the given relative paths, in the format of their suffix."""
    for number, name in enumerate(names, start):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(number, (33 + number % 17, 45 - number % 11)).save(path)
    return root


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes in three splits, 7 + 2 + 3 images."""
    train = [f"train/{name}/{number}.jpg" for name, count in (("cat", 4), ("dog", 3)) for number in range(count)]
    rest = ["val/cat/v.png", "val/dog/v.png", "test/cat/t.jpg", "test/dog/t.jpg", "test/dog/u.webp"]
    return write_images(tmp_path / "photos", train + rest)


@pytest.fixture
def plan(photos: Path, tiny_model_dir: Path, tmp_path: Path) -> Callable[..., Any]:
    # It imports this module.
    from tests.stages.extraction_world import planner

    return planner(photos, tiny_model_dir, tmp_path)
