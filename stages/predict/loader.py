"""New images as an encoder takes them, read by threads, each within a time limit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL.Image import Image
from torch import Tensor

from xmap.stages.encoder.model import plain_transform
from xmap.stages.images.decode import BadImage, Rules, read_image, use_image
from xmap.stages.images.in_time import TIMEOUT_SECONDS, in_time
from xmap.stages.images.views import out_of_proportion

Loaded = Tensor | BadImage
SLOW = BadImage("too-slow", f"it took more than {TIMEOUT_SECONDS} s: a disk, a mount or a decoder hangs")


class ImageLoader:
    """Reads images under `rules`, for an encoder that preprocesses so; `depths` counts them by the bits assumed of their values."""

    def __init__(self, preprocess: Mapping[str, Any], rules: Rules, threads: int) -> None:
        self._preprocess, self._rules, self._threads = preprocess, rules, threads
        self._transform = plain_transform(preprocess)
        self._depths: list[int] = []

    def load(self, images: Sequence[Path | bytes]) -> list[Loaded]:
        """The images of files and of files' bytes, each (3, H, W) float32, or why there is none."""
        return [SLOW if image is None else image for image in in_time(self._one, images, self._threads, TIMEOUT_SECONDS)]

    @property
    def depths(self) -> Mapping[int, int]:
        """How many images' values were taken to have so many bits."""
        return Counter(self._depths)

    def _one(self, image: Path | bytes) -> Loaded:
        data = image if isinstance(image, bytes) else read_image(image)
        return data if isinstance(data, BadImage) else use_image(data, self._made, self._rules)

    def _made(self, image: Image) -> Loaded:
        bad = out_of_proportion(image.size, self._preprocess, self._rules)
        if bad is not None:
            return bad
        self._depths += [image.info["depth"]] if "depth" in image.info else []
        return self._transform(image)
