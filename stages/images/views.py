"""Views of an image: view 0 is the encoder's own evaluation crop, the others are random crops that are always the same.

The randomness of a view is a hash of (seed, content of the file, view number) and nothing else: no generator with a state and no name, so
threads, their number, the order of images and what they are called cannot change a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from blake3 import blake3
from PIL.Image import Image, Resampling, Transpose

from xmap.stages.images.decode import RULES, BadImage, Rules
from xmap.stages.images.load import Planned, load
from xmap.stages.images.read import Given

if TYPE_CHECKING:
    from torch import Tensor

SCALE = (0.5, 1.0)
RATIO = (3 / 4, 4 / 3)
TRIES = 10
LONGEST = 16

Box = tuple[int, int, int, int]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Deep:
    """The pixels of an image whose values were assumed to have `depth` bits, in a file that has room for more."""

    pixels: Pixels
    depth: int


Loaded = Pixels | Deep | BadImage


@dataclass(frozen=True)
class ViewMaker:
    """Makes the pixels of views: `plain` cuts view 0 (an RGB image of `preprocess`'s size) out of an image.

    Pixels stay bytes, a quarter of what they become: `normalised` makes numbers of whole batches.
    """

    plain: Callable[[Image], Image]
    preprocess: Mapping[str, Any]
    seed: int
    rules: Rules = RULES

    def load(self, place: Given, content: str = "", views: Sequence[int] = (0,), planned: Planned | None = None) -> Loaded:
        """The `views` (V, H, W, 3) uint8 of the image at `place`, whose blake3 is `content`, or why there are none."""
        return load(place, lambda image: self.made(image, content, views), self.rules, planned)

    def made(self, image: Image, content: str, views: Sequence[int]) -> Loaded:
        """The views of an image that was read under the rules, or why it has none."""
        bad = out_of_proportion(image.size, self.preprocess, self.rules)
        if bad is not None:
            return bad
        depth, pixels = image.info.get("depth"), self.views(image, content, views)
        return pixels if depth is None else Deep(pixels, depth)

    def views(self, image: Image, content: str, views: Sequence[int]) -> Pixels:
        """The views of these numbers (V, H, W, 3) uint8 of an RGB image: 0 is the plain crop."""
        return np.stack([np.asarray(self.augmented(image, content, view) if view else self.plain(image)) for view in views])

    def augmented(self, image: Image, content: str, view: int) -> Image:
        """One augmented view: a random resized crop, bicubic, flipped half of the time."""
        draws = uniforms(self.seed, content, view)
        flip = next(draws) < 0.5
        height, width = self.preprocess["size"]
        crop = image.resize((width, height), Resampling.BICUBIC, box=crop_box(image.width, image.height, draws))
        return crop.transpose(Transpose.FLIP_LEFT_RIGHT) if flip else crop


def out_of_proportion(size: tuple[int, int], preprocess: Mapping[str, Any], rules: Rules) -> BadImage | None:
    """Why an image (width, height) cannot be resized to the encoder's size, if it cannot: a thread becomes a picture of gigabytes."""
    (width, height), (tall, wide) = size, preprocess["size"]
    scales = (wide / width, tall / height)
    mode = preprocess.get("resize_mode") or "shortest"
    if mode == "squash":
        return None
    scale = max(scales) if mode == "shortest" else min(scales)
    # A low limit is meant for files, not for what every encoder makes of them.
    most = max(rules.max_pixels, LONGEST * wide * tall)
    if width * height * scale * scale <= most and round(min(size) * scale) >= 1:
        return None
    return BadImage("too-large", f"{width} x {height} pixels are out of all proportion for the encoder's {wide} x {tall} (--max-pixels)")


def normalised(pixels: Pixels, preprocess: Mapping[str, Any], device: str = "cpu") -> Tensor:
    """Pixels (B, H, W, 3) uint8 as the encoder takes them, (B, 3, H, W) float32 on `device`.

    As open_clip's own preprocessing does it, bit for bit. Bytes go to the device: a quarter of what they become there.
    """
    import torch

    batch = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).contiguous().float()
    mean, std = (torch.tensor(preprocess[key], device=device).view(3, 1, 1) for key in ("mean", "std"))
    # By a tensor: a GPU would multiply by the inverse of a number, which rounds otherwise.
    return batch.div_(torch.tensor(255.0, device=device)).sub_(mean).div_(std)


def uniforms(seed: int, content: str, view: int) -> Iterator[float]:
    """An endless stream of numbers in [0, 1), determined by the three arguments."""
    stream = blake3(f"view\0{seed}\0{view}\0{content}".encode())
    block = 0
    while True:
        words = np.frombuffer(stream.digest(length=512, seek=512 * block), dtype="<u8")
        # The upper 53 bits are what a float holds exactly.
        yield from ((words >> np.uint64(11)) * 2.0**-53).tolist()
        block += 1


def crop_box(width: int, height: int, draws: Iterator[float]) -> Box:
    """A crop (left, upper, right, lower) of half to all of the area and of aspect 3/4 to 4/3, log-uniform.

    After ten crops that do not fit (very long images), the largest central one of allowed aspect.
    """
    for _ in range(TRIES):
        area = width * height * (SCALE[0] + (SCALE[1] - SCALE[0]) * next(draws))
        low, high = math.log(RATIO[0]), math.log(RATIO[1])
        ratio = math.exp(low + (high - low) * next(draws))
        wide, tall = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        across, down = next(draws), next(draws)
        if 0 < wide <= width and 0 < tall <= height:
            left, upper = int(across * (width - wide + 1)), int(down * (height - tall + 1))
            return left, upper, left + wide, upper + tall
    wide = min(width, max(1, round(height * RATIO[1])))
    tall = min(height, max(1, round(width / RATIO[0])))
    left, upper = (width - wide) // 2, (height - tall) // 2
    return left, upper, left + wide, upper + tall
