"""Print every character once in every font, into one array that is cached on disk.

Training draws from this array only, so the slow part (FreeType) runs once. A glyph is
stored large and centred with its longer side normalised; size, place and weight are the
augmentation's business.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFont

from tools.xmap_tiny.captions import CHARACTERS, N_DIGITS
from tools.xmap_tiny.fonts import FontFile

CANVAS = 48
GLYPH = 40
_RENDER_SIZE = 80
_MISSING = "\U0010fffd"

Glyphs = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class GlyphSet:
    """Rendered glyphs: ink on [n, CANVAS, CANVAS], the character and the split of each."""

    ink: Glyphs
    label: npt.NDArray[np.int64]
    held_out: npt.NDArray[np.bool_]

    def split(self, held_out: bool) -> GlyphSet:
        """Only the glyphs of the held-out families, or only those of the others."""
        keep = self.held_out == held_out
        return GlyphSet(self.ink[keep], self.label[keep], self.held_out[keep])


def _draw(font: ImageFont.FreeTypeFont, character: str) -> Image.Image | None:
    """The character's ink cropped to its bounding box, or None where there is no ink."""
    mask = font.getmask(character, mode="L")
    if mask.size[0] < 2 or mask.size[1] < 2:
        return None
    image = Image.frombytes("L", mask.size, bytes(mask))
    box = image.point(lambda value: 255 * (value > 64)).getbbox()
    return image.crop(box) if box else None


def _centre(image: Image.Image) -> Glyphs:
    """The ink with its longer side at GLYPH pixels, in the middle of the canvas."""
    scale = GLYPH / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    canvas = Image.new("L", (CANVAS, CANVAS), 0)
    corner = ((CANVAS - size[0]) // 2, (CANVAS - size[1]) // 2)
    canvas.paste(image.resize(size, Image.Resampling.LANCZOS), corner)
    return np.asarray(canvas, dtype=np.uint8)


def _font_glyphs(path: Path) -> dict[int, Glyphs]:
    """A font's distinct glyphs by character index; none where it lacks a proper digit.

    Many display faces repeat the capitals in place of small letters, and print a box for
    what they lack. A repeated shape is kept for its first character only, since the second
    label would be wrong as often as right.
    """
    font = ImageFont.truetype(str(path), _RENDER_SIZE)
    seen: set[bytes] = set()
    try:
        missing = _draw(font, _MISSING)
        drawn = [_draw(font, character) for character in CHARACTERS]
    except OSError:
        return {}
    if missing is not None:
        seen.add(_centre(missing).tobytes())
    glyphs: dict[int, Glyphs] = {}
    for index, image in enumerate(drawn):
        glyph = _centre(image) if image is not None else None
        if glyph is not None and glyph.tobytes() not in seen:
            seen.add(glyph.tobytes())
            glyphs[index] = glyph
    return glyphs if all(digit in glyphs for digit in range(N_DIGITS)) else {}


def render(fonts: list[FontFile]) -> GlyphSet:
    """All characters in all fonts; a font without ten distinct digits is left out."""
    ink: list[Glyphs] = []
    label: list[int] = []
    held_out: list[bool] = []
    for font in fonts:
        for index, glyph in _font_glyphs(font.path).items():
            ink.append(glyph)
            label.append(index)
            held_out.append(font.held_out)
    return GlyphSet(np.stack(ink), np.asarray(label, np.int64), np.asarray(held_out, np.bool_))


def _key(fonts: list[FontFile]) -> str:
    """A name for the cache that changes with the fonts and with how they are drawn."""
    parts = [CHARACTERS, str((CANVAS, GLYPH, _RENDER_SIZE))]
    parts += [f"{font.path.name} {font.path.stat().st_size} {font.held_out}" for font in fonts]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def load_or_render(fonts: list[FontFile], scratch: Path) -> GlyphSet:
    """The glyph set, from the scratch folder where an earlier run left it."""
    path = scratch / f"glyphs-{_key(fonts)}.npz"
    if not path.exists():
        scratch.mkdir(parents=True, exist_ok=True)
        made = render(fonts)
        np.savez(path, ink=made.ink, label=made.label, held_out=made.held_out)
    with np.load(path, allow_pickle=False) as stored:
        return GlyphSet(stored["ink"], stored["label"], stored["held_out"])
