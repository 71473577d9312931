"""A real open_clip model, small and random."""

from __future__ import annotations

import json
from pathlib import Path

MODEL = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 32},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
PREPROCESS = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "interpolation": "bicubic", "resize_mode": "shortest"}


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
