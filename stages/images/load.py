"""The one road to an image's pixels: from the place where it lies to what is made of them, or to the reason why there is nothing."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from blake3 import blake3
from PIL.Image import Image

from xmap.stages.datasets.places.remote import UNREACHABLE
from xmap.stages.images.decode import RULES, BadImage, Rules, use_image
from xmap.stages.images.read import Given, read_place

Made = TypeVar("Made")

CHANGED = "changed"
# What is no fault of an image, and ends work that was planned with it.
OUTSIDE = (CHANGED, UNREACHABLE)
# Bad images whose bytes were never read, or not kept, although the file could be hashed.
UNHASHED = ("too-large", "unsupported")


@dataclass(frozen=True)
class Planned:
    """The blake3 that an image's file had when the work was planned; None where it could not be read."""

    content: str | None

    def held(self, data: bytes | BadImage) -> bytes | BadImage:
        """`data` if it is what was planned with, else why it is not, of a kind that is `OUTSIDE`."""
        if isinstance(data, bytes):
            return data if blake3(data).hexdigest() == self.content else BadImage(CHANGED, "changed while features were extracted")
        if data.kind == "missing" and self.content is not None:
            seen = f"was there when the work was planned and is not, as machine {platform.node()} sees it"
            return BadImage(CHANGED, seen)
        if data.kind == UNREACHABLE:
            return BadImage(UNREACHABLE, f"cannot be reached any more ({data.message})")
        planned = self.content is None or data.kind in UNHASHED or (data.kind == "empty" and self.content == blake3().hexdigest())
        return data if planned else BadImage(CHANGED, "changed while features were extracted")


def load(place: Given, use: Callable[[Image], Made], rules: Rules = RULES, planned: Planned | None = None) -> Made | BadImage:
    """What `use` makes of the image at `place` (RGB, 8 bits, upright), read under `rules`, if it is still the one planned with."""
    data = read_place(place)
    if planned is not None:
        data = planned.held(data)
    return data if isinstance(data, BadImage) else use_image(data, use, rules)
