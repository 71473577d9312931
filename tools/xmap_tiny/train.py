"""Train one of the tiny CLIP models on printed characters.

    apt-get install $(cat tools/xmap_tiny/fonts.txt)
    python -m tools.xmap_tiny.train --arch resnet --out DIR --scratch DIR --steps 3000 --seed 1

Each batch shows every glyph twice, varied in two ways. Captions pull both pictures to what they
show, and the instance loss tells each glyph's two pictures from all others, so that the features
keep more than the class (SLIP, Mu et al., ECCV 2022). The number of steps is fixed beforehand and
the last weights are kept. The held-out font families are measured after training.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor, nn

from tools.xmap_tiny import model as models
from tools.xmap_tiny.augment import augment
from tools.xmap_tiny.captions import CHARACTERS, N_DIGITS, Concept, concepts
from tools.xmap_tiny.fonts import discover
from tools.xmap_tiny.render import GlyphSet, load_or_render
from tools.xmap_tiny.validate import report

GLYPHS = 128
DRAWS = 2
INSTANCE_TEMPERATURE = 0.1
DIGIT_SHARE = 0.5
WARMUP = 50
_LEARNING_RATE = {"resnet": 3e-3, "vit": 2e-3}
_WEIGHT_DECAY = 0.05
_LOG_EVERY = 100


@dataclass(frozen=True)
class Sampler:
    """Draws glyphs with half the batch digits and every character of a kind equally often."""

    ink: Tensor
    by_character: list[Tensor]

    @classmethod
    def of(cls, glyphs: GlyphSet) -> Sampler:
        """A sampler over a glyph set."""
        label = torch.from_numpy(glyphs.label)
        places = [torch.nonzero(label == index)[:, 0] for index in range(len(CHARACTERS))]
        return cls(torch.from_numpy(glyphs.ink), places)

    def draw(self, n: int, rng: Generator) -> tuple[Tensor, Tensor]:
        """`n` glyphs and the index of the character that each shows."""
        digit = torch.randint(0, N_DIGITS, (n,), generator=rng)
        letter = torch.randint(N_DIGITS, len(CHARACTERS), (n,), generator=rng)
        label = torch.where(torch.rand(n, generator=rng) < DIGIT_SHARE, digit, letter)
        where = torch.rand(n, generator=rng).tolist()
        places = [self.by_character[c] for c in label.tolist()]
        rows = [int(p[int(w * len(p))]) for p, w in zip(places, where, strict=True)]
        return self.ink[rows], label


def truth_table(meanings: list[Concept]) -> Tensor:
    """Which concept is true of which character: [characters, concepts] of 0 and 1."""
    rows = [[float(c in meaning.characters) for meaning in meanings] for c in CHARACTERS]
    return torch.tensor(rows)


def contrastive_loss(logits: Tensor, positive: Tensor) -> Tensor:
    """The CLIP loss with any number of positives to a row or a column.

    Captions without a picture in the batch have nothing to point at and are left out of
    the text side.
    """
    rows = positive / positive.sum(1, keepdim=True)
    image_side = -(rows * logits.log_softmax(1)).sum(1).mean()
    present = positive.sum(0) > 0
    columns = positive[:, present] / positive[:, present].sum(0, keepdim=True)
    text_side = -(columns * logits[:, present].log_softmax(0)).sum(0).mean()
    return (image_side + text_side) / 2


def instance_loss(images: Tensor) -> Tensor:
    """Each picture's own other picture among all others: unit features [2 n, C], row i beside row i + n."""
    n = len(images) // 2
    logits = (images @ images.T / INSTANCE_TEMPERATURE).fill_diagonal_(float("-inf"))
    return nn.functional.cross_entropy(logits, torch.arange(2 * n).roll(n))


def _draw_captions(tokens: list[Tensor], rng: Generator) -> Tensor:
    """`DRAWS` captions of every concept, concept after concept."""
    picks = [t[torch.randint(0, len(t), (DRAWS,), generator=rng)] for t in tokens]
    return torch.cat(picks)


def _rate(step: int, steps: int) -> float:
    """Linear warm-up, then a cosine to zero."""
    if step < WARMUP:
        return (step + 1) / WARMUP
    return 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / max(1, steps - WARMUP)))


def _optimizer(model: nn.Module, rate: float) -> torch.optim.AdamW:
    """AdamW that decays matrices only; decayed token rows or scales would shrink for nothing."""
    free = ("embedding", "logit_scale", "class_embedding")
    decay: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, value in model.named_parameters():
        plain = value.ndim < 2 or any(word in name for word in free)
        (rest if plain else decay).append(value)
    groups = [
        {"params": decay, "weight_decay": _WEIGHT_DECAY},
        {"params": rest, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))


def train(arch: str, glyphs: GlyphSet, steps: int, seed: int) -> nn.Module:
    """A trained model in eval mode: the same machine, steps and seed give the same weights."""
    torch.manual_seed(seed)
    rng = Generator().manual_seed(seed)
    meanings = concepts()
    tokens = models.tokens_of(meanings)
    truth = truth_table(meanings).repeat_interleave(DRAWS, 1)
    model = models.build(arch, models.rows_of(tokens)).train()
    sampler = Sampler.of(glyphs)
    optimizer = _optimizer(model, _LEARNING_RATE[arch])
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    begin = time.perf_counter()
    for step in range(steps):
        ink, label = sampler.draw(GLYPHS, rng)
        image, text, scale = model(augment(ink.repeat(2, 1, 1), rng), _draw_captions(tokens, rng))
        loss = contrastive_loss(scale * image @ text.T, truth[label.repeat(2)]) + instance_loss(image)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call,unused-ignore]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if (step + 1) % _LOG_EVERY == 0:
            spent = time.perf_counter() - begin
            print(f"step {step + 1} loss {loss.item():.3f} scale {scale.item():.2f} {spent:.0f} s")
    return model.eval()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--arch", choices=models.ARCHITECTURES, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of the model")
    parser.add_argument("--scratch", type=Path, required=True, help="folder of drawn glyphs")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    """Draw or load the glyphs, train on one thread, write the model, report."""
    args = _arguments()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    fonts = discover()
    glyphs = load_or_render(fonts, args.scratch)
    families = {font.family for font in fonts}
    held = {font.family for font in fonts if font.held_out}
    print(f"{len(fonts)} fonts, {len(families)} families of which {len(held)} held out")
    model = train(args.arch, glyphs.split(held_out=False), args.steps, args.seed)
    models.save(model, args.arch, args.out)
    for line in report(args.out, glyphs.split(held_out=True)):
        print(line)


if __name__ == "__main__":
    main()
