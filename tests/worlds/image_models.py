"""Image encoders of timm with random weights: the smallest that timm has, made anew by a seed."""

from __future__ import annotations

from pathlib import Path

import timm
import torch
from safetensors.torch import save_file

MODEL = "test_vit"


def write_weights(path: Path, seed: int = 1, model: str = MODEL) -> Path:
    """Weights of `model` as timm would save them, its classifier among them."""
    torch.manual_seed(seed)
    state = timm.create_model(model, pretrained=False).state_dict()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    return path
