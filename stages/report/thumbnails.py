"""Small pictures inside the page, as data URIs."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from stages.datasets.places import Place
from stages.decode import BadImage, decode_image
from stages.reading import read_place

SIDE = 88
# Below this, lossless and as it is: the page enlarges whole pixels.
TINY = 40


def thumbnails(places: Mapping[str, Place], ids: Iterable[str]) -> dict[str, str]:
    """A data URI for each of `ids` whose image can be read; it is at most `SIDE` pixels wide and high."""
    wanted = [sample_id for sample_id in ids if sample_id in places]
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda sample_id: thumbnail(places[sample_id]), wanted)
        return {sample_id: uri for sample_id, uri in zip(wanted, found, strict=True) if uri}


def thumbnail(place: Place) -> str:
    """The image at `place` as a data URI; empty where it cannot be read."""
    data = read_place(place)
    image = decode_image(data) if isinstance(data, bytes) else data
    if isinstance(image, BadImage):
        return ""
    tiny = max(image.size) <= TINY
    if not tiny:
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    if tiny:
        image.save(buffer, "png", optimize=True)
    else:
        image.save(buffer, "webp", quality=75)
    kind = "png" if tiny else "webp"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
