"""Measure a written model on the held-out font families, through its files.

The model is read back from its folder, so what is measured is what ships: half-precision
weights, open_clip's own loader and tokenizer.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator
from pathlib import Path

import open_clip  # type: ignore[import-untyped,unused-ignore]
import torch
from torch import Generator, Tensor

from tools.xmap_tiny.augment import augment, plain
from tools.xmap_tiny.captions import (
    CHARACTERS,
    DIGIT_WORDS,
    LETTER_TEMPLATE,
    N_DIGITS,
    ZERO_SHOT_TEMPLATE,
)
from tools.xmap_tiny.render import GlyphSet

_BATCH = 256
_SEED = 20_000


def _load(folder: Path) -> tuple[open_clip.CLIP, Callable[[list[str]], Tensor]]:
    name = f"local-dir:{folder}"
    model, _ = open_clip.create_model_from_pretrained(name)
    return model.eval(), open_clip.get_tokenizer(name)


def _batches(rows: Tensor) -> list[Tensor]:
    return [rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH)]


def _encode(model: open_clip.CLIP, pictures: Tensor) -> Tensor:
    return torch.cat([model.encode_image(part, normalize=True) for part in _batches(pictures)])


def _accuracy(images: Tensor, texts: Tensor, truth: Tensor) -> float:
    return (images @ texts.T).argmax(1).eq(truth).float().mean().item() * 100


def _letter_index(label: Tensor) -> Tensor:
    """The place in the alphabet of a character index, whichever its case."""
    return (label - N_DIGITS) % len(string.ascii_lowercase)


def _lines(model: open_clip.CLIP, prompts: dict[str, Tensor], kind: str, images: Tensor, label: Tensor) -> Iterator[str]:
    is_digit = label < N_DIGITS
    digits, truth = images[is_digit], label[is_digit]
    for name in ("numerals", "words"):
        yield f"{kind} digits by {name}: {_accuracy(digits, prompts[name], truth):.1f} %"
    letters, truth = images[~is_digit], _letter_index(label[~is_digit])
    yield f"{kind} letters: {_accuracy(letters, prompts['letters'], truth):.1f} %"


@torch.no_grad()
def report(folder: Path, glyphs: GlyphSet) -> list[str]:
    """Zero-shot accuracies on glyphs as printed and as varied, and the logit scale."""
    model, tokenize = _load(folder)
    names = {
        "numerals": [ZERO_SHOT_TEMPLATE.format(c) for c in CHARACTERS[:N_DIGITS]],
        "words": [ZERO_SHOT_TEMPLATE.format(word) for word in DIGIT_WORDS],
        "letters": [LETTER_TEMPLATE.format(c) for c in string.ascii_lowercase],
    }
    prompts = {k: model.encode_text(tokenize(v), normalize=True) for k, v in names.items()}
    ink, label = torch.from_numpy(glyphs.ink), torch.from_numpy(glyphs.label)
    rng = Generator().manual_seed(_SEED)
    varied = torch.cat([augment(part, rng) for part in _batches(ink)])
    lines = [f"{len(label)} held-out glyphs, logit scale {model.logit_scale.exp().item():.2f}"]
    for kind, pictures in (("printed", plain(ink)), ("varied", varied)):
        lines += _lines(model, prompts, kind, _encode(model, pictures), label)
    return lines
