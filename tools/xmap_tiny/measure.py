"""Measure a finished model once: scikit-learn's handwritten digits, and encoding speed.

    python -m tools.xmap_tiny.measure stages/encoder/models/xmap-tiny

The digits play no part in training, in choosing a model or in shaping anything in this
folder. Run this for a model that is final, note the figure, and don't go back to change the
model because of it: a test set that is tuned on no longer tests.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import open_clip  # type: ignore[import-untyped,unused-ignore]
import torch
from PIL import Image
from sklearn.datasets import load_digits  # type: ignore[import-untyped,unused-ignore]
from torch import Tensor

from tools.xmap_tiny.captions import ZERO_SHOT_TEMPLATE

_BATCH = 64
_REPEATS = 30


def _digits(model: open_clip.CLIP, preprocess: open_clip.transform.Compose, texts: Tensor) -> str:
    """Zero-shot accuracy, overall and digit by digit, on the pictures as 8 x 8 grey files."""
    data = load_digits()
    grey = np.rint(data.images * (255 / 16)).astype(np.uint8)
    pixels = torch.stack([preprocess(Image.fromarray(picture)) for picture in grey])
    right = (model.encode_image(pixels, normalize=True) @ texts.T).argmax(1).numpy() == data.target
    each = [f"{digit}: {100 * right[data.target == digit].mean():.0f}" for digit in range(10)]
    return f"digits zero-shot {100 * right.mean():.2f} % of {len(right)} ({', '.join(each)})"


def _speed(model: open_clip.CLIP, size: int) -> float:
    """Images a second in batches of 64 on one thread."""
    pixels = torch.rand(_BATCH, 3, size, size)
    model.encode_image(pixels)
    begin = time.perf_counter()
    for _ in range(_REPEATS):
        model.encode_image(pixels)
    return _BATCH * _REPEATS / (time.perf_counter() - begin)


@torch.no_grad()
def main() -> None:
    """Print both measurements of the model in the folder given."""
    parser = argparse.ArgumentParser(description="Measure a finished tiny model once.")
    parser.add_argument("model", type=Path, help="folder of the model")
    name = f"local-dir:{parser.parse_args().model}"
    torch.set_num_threads(1)
    model, preprocess = open_clip.create_model_from_pretrained(name)
    model.eval()
    tokens = open_clip.get_tokenizer(name)([ZERO_SHOT_TEMPLATE.format(c) for c in range(10)])
    print(f"template {ZERO_SHOT_TEMPLATE!r}, logit scale {model.logit_scale.exp().item():.2f}")
    print(_digits(model, preprocess, model.encode_text(tokens, normalize=True)))
    print(f"{_speed(model, 32):.0f} images/s encoded in batches of {_BATCH} on one thread")


if __name__ == "__main__":
    main()
