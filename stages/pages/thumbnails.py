"""Small pictures inside the page, as data URIs."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from PIL import Image

from xmap.stages.datasets.places.place import Place
from xmap.stages.images.decode import RULES, BadImage, Rules
from xmap.stages.images.in_time import in_time
from xmap.stages.images.load import load

SIDE = 88
# Below this, lossless and as it is: the page enlarges whole pixels.
TINY = 40
THREADS = 4


@dataclass(frozen=True)
class Pictures:
    """The places of images by sample id, all below one `place` (empty: not at hand), how they are read, and what is to be said."""

    paths: Mapping[str, Place] = field(default_factory=dict)
    place: str = ""
    rules: Rules = RULES
    remarks: tuple[str, ...] = ()


def thumbnails(pictures: Sequence[Pictures], ids: Iterable[str], side: int = SIDE) -> dict[str, str]:
    """A data URI for each of `ids` that is among `pictures` and can be read; it is at most `side` pixels wide and high.

    Large images are decoded one after the other.
    """
    places = {sample_id: (place, found.rules) for found in pictures for sample_id, place in found.paths.items()}
    wanted = [sample_id for sample_id in ids if sample_id in places]
    made = in_time(lambda sample_id: thumbnail(*places[sample_id], side), wanted, THREADS, len(wanted))
    return {sample_id: uri for sample_id, uri in zip(wanted, made, strict=True) if uri}


def thumbnail(place: Place, rules: Rules = RULES, side: int = SIDE) -> str:
    """The image at `place` as a data URI; empty where it cannot be read."""
    image = load(place, partial(_small, side=side), rules)
    if isinstance(image, BadImage):
        return ""
    tiny = max(image.size) <= TINY
    buffer = io.BytesIO()
    if tiny:
        image.save(buffer, "png", optimize=True)
    else:
        image.save(buffer, "webp", quality=75)
    kind = "png" if tiny else "webp"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _small(image: Image.Image, side: int) -> Image.Image:
    if max(image.size) > TINY:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image
