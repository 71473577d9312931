"""Turn a batch of stored glyphs into varied pictures, on tensors, in a few milliseconds.

What varies is what varies between one picture of a character and another: the weight of the
stroke, the place, size, slant and outline, ink and paper, sharpness and noise: enough to tell
what is shown from how, and no more than a reader would shrug at. Everything is drawn from one
generator, so a seed fixes the whole stream.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional as nnf

from tools.xmap_tiny.render import CANVAS, GLYPH

IMAGE = 32
MEAN = 0.5
STD = 0.5
_SUPERSAMPLE = 2
_WARP_CELLS = 5
_WARP_REACH = 0.11
_SMALLEST = 10
_SOFTENED = 0.5
_GROUP = 16


def _uniform(n: int, low: float, high: float, rng: Generator) -> Tensor:
    return torch.rand(n, generator=rng) * (high - low) + low


def _stroke(ink: Tensor, rng: Generator) -> Tensor:
    """Thicken some glyphs and thin others, by up to about two pixels of the canvas.

    Thinning that would take most of a hairline face away is not applied to it.
    """
    change = _uniform(len(ink), -1.0, 2.0, rng)[:, None, None, None]
    thick = nnf.max_pool2d(ink, 3, stride=1, padding=1)
    thicker = nnf.max_pool2d(thick, 3, stride=1, padding=1)
    thin = -nnf.max_pool2d(-ink, 3, stride=1, padding=1)
    kept = thin.sum((1, 2, 3), keepdim=True) / ink.sum((1, 2, 3), keepdim=True).clamp_min(1e-6)
    thin = torch.where(kept > 0.4, thin, ink)
    grown = torch.where(change > 1, thick, ink).lerp(torch.where(change > 1, thicker, thick), change.clamp_min(0).remainder(1.0))
    return torch.where(change < 0, ink.lerp(thin, (-change).clamp(0, 1)), grown)


def _affine(n: int, rng: Generator) -> Tensor:
    """Random 2 x 3 maps from the picture to the canvas: turn, slant, stretch, size, place."""
    turn = _uniform(n, -0.15, 0.15, rng)
    slant = _uniform(n, -0.25, 0.25, rng)
    stretch = torch.exp(_uniform(n, -0.2, 0.2, rng))
    height = _uniform(n, 0.7, 1.0, rng)
    scale = (GLYPH / CANVAS) / height
    cos, sin = torch.cos(turn) * scale, torch.sin(turn) * scale
    rows = torch.stack(
        [
            torch.stack([cos * stretch, -sin + slant * cos], 1),
            torch.stack([sin * stretch, cos + slant * sin], 1),
        ],
        1,
    )
    room = (1.0 - height)[:, None] * 0.8 + 0.05
    place = (torch.rand(n, 2, generator=rng) * 2 - 1) * room
    return torch.cat([rows, rows @ place[:, :, None]], 2)


def _warp(n: int, side: int, rng: Generator) -> Tensor:
    """A smooth displacement of every pixel: outlines bend as no rigid map bends them."""
    reach = _uniform(n, 0.0, _WARP_REACH, rng)[:, None, None, None]
    cells = torch.randn(n, 2, _WARP_CELLS, _WARP_CELLS, generator=rng) * reach
    field = nnf.interpolate(cells, size=(side, side), mode="bicubic", align_corners=True)
    return field.permute(0, 2, 3, 1)


def _place(ink: Tensor, rng: Generator) -> Tensor:
    """Each glyph under its own map and warp, sampled finely and then averaged down."""
    n, side = len(ink), IMAGE * _SUPERSAMPLE
    grid = nnf.affine_grid(_affine(n, rng), [n, 1, side, side], align_corners=False)
    grid = grid + _warp(n, side, rng)
    drawn = nnf.grid_sample(ink, grid, mode="bilinear", align_corners=False)
    return nnf.avg_pool2d(drawn, _SUPERSAMPLE)


def _soften(images: Tensor, rng: Generator) -> Tensor:
    """Pass part of the batch through a smaller picture, as a user's small file is enlarged."""
    images = images.clone()
    for start in range(0, int(len(images) * _SOFTENED), _GROUP):
        side = int(torch.randint(_SMALLEST, IMAGE, (1,), generator=rng))
        small = nnf.interpolate(images[start : start + _GROUP], size=(side, side), mode="area")
        large = nnf.interpolate(small, size=(IMAGE, IMAGE), mode="bicubic", align_corners=False)
        images[start : start + _GROUP] = large.clamp(0, 1)
    return images


def _colour(ink: Tensor, rng: Generator) -> Tensor:
    """Ink on paper in any two shades that stand apart, either one the darker, and noise."""
    n = len(ink)
    gap = _uniform(n, 0.7, 1.0, rng)
    dark = torch.rand(n, generator=rng) * (1.0 - gap)
    flip = torch.rand(n, generator=rng) < 0.5
    paper = torch.where(flip, dark + gap, dark)[:, None, None, None]
    pen = torch.where(flip, dark, dark + gap)[:, None, None, None]
    image = paper.lerp(pen, ink).expand(-1, 3, -1, -1)
    level = _uniform(n, 0.0, 0.02, rng)[:, None, None, None]
    return (image + torch.randn(image.shape, generator=rng) * level).clamp(0, 1)


def augment(glyphs: Tensor, rng: Generator) -> Tensor:
    """Varied, normalised pictures [n, 3, IMAGE, IMAGE] of stored glyphs (uint8)."""
    ink = glyphs[:, None].float() / 255
    ink = _soften(_place(_stroke(ink, rng), rng), rng)
    return (_colour(ink, rng) - MEAN) / STD


def plain(glyphs: Tensor) -> Tensor:
    """The glyphs as printed: black on white, nothing varied."""
    ink = nnf.interpolate(glyphs[:, None].float() / 255, size=(IMAGE, IMAGE), mode="area")
    return ((1 - ink).expand(-1, 3, -1, -1) - MEAN) / STD
