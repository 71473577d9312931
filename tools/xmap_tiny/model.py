"""The two architectures, and how a trained one is written as an open_clip `local-dir:`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import open_clip  # type: ignore[import-untyped,unused-ignore]
import torch
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from tools.xmap_tiny.augment import IMAGE, MEAN, STD
from tools.xmap_tiny.captions import Concept

CONTEXT = 16
_TEXT: Final[dict[str, Any]] = {
    "context_length": CONTEXT,
    "vocab_size": 49408,
    "width": 32,
    "heads": 2,
    "layers": 2,
}
_VISION: Final[dict[str, dict[str, Any]]] = {
    "resnet": {"image_size": IMAGE, "layers": [1, 1, 1, 1], "width": 16, "head_width": 64},
    "vit": {"image_size": IMAGE, "layers": 3, "width": 48, "head_width": 16, "patch_size": 4},
}
ARCHITECTURES = tuple(_VISION)


def config(arch: str) -> dict[str, Any]:
    """What `open_clip_config.json` holds: the model and how its pictures are prepared."""
    return {
        "model_cfg": {"embed_dim": 128, "vision_cfg": _VISION[arch], "text_cfg": _TEXT},
        "preprocess_cfg": {
            "size": IMAGE,
            "mode": "RGB",
            "mean": [MEAN] * 3,
            "std": [STD] * 3,
            "interpolation": "bicubic",
            "resize_mode": "shortest",
            "fill_color": 0,
        },
    }


def tokens_of(concepts: list[Concept]) -> list[Tensor]:
    """The tokenised captions of each concept, one [captions, CONTEXT] tensor apiece."""
    tokenize = open_clip.SimpleTokenizer(context_length=CONTEXT)
    return [tokenize(list(concept.captions)) for concept in concepts]


def rows_of(tokens: list[Tensor]) -> list[int]:
    """The token rows that some caption uses, in order."""
    return sorted({row for part in tokens for row in part.flatten().tolist()})


def build(arch: str, used: list[int]) -> nn.Module:
    """An untrained model whose token rows outside `used` are zero.

    A row that no caption uses gets no gradient, so it stays zero through training: the
    shipped file compresses well, and a word never trained on adds nothing but its place.
    """
    cfg = config(arch)["model_cfg"]
    model: nn.Module = open_clip.CLIP(**cfg)
    rows = model.get_parameter("token_embedding.weight")
    keep = torch.zeros(rows.shape[0], 1)
    keep[used] = 1
    with torch.no_grad():
        rows.mul_(keep)
    return model


def save(model: nn.Module, arch: str, out: Path) -> None:
    """Write config and half-precision weights; open_clip widens them when it loads."""
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(config(arch), indent=2) + "\n"
    (out / "open_clip_config.json").write_text(text, encoding="utf-8")
    state = {name: (value.half() if value.is_floating_point() else value).contiguous() for name, value in model.state_dict().items()}
    weights = to_bytes(state, metadata={"format": "pt"})
    (out / "open_clip_model.safetensors").write_bytes(weights)
