"""From photographs to an encoder's crops, without the encoder: threads beside processes, and other decoders beside Pillow's.

python -m benchmarks.decoding PHOTOS        prints a table; `benchmarks.extraction` puts it into its section of docs/benchmarks.md
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from xmap.pipeline.upkeep.probe import least_seconds
from xmap.stages.encoder.identity import PREPROCESS
from xmap.stages.images.crop import plain_crop
from xmap.stages.images.decode import decode_image
from xmap.stages.images.in_time import in_time
from xmap.stages.images.views import Loaded, ViewMaker
from xmap.stages.machine.memory import kept_memory

# The crop of xmap-tiny, whose forward pass takes least: a crop has 3 kB, so that processes hand over next to nothing.
SIDE, AHEAD, TRIES = 32, 60, 3
CROP = {**PREPROCESS, "size": [SIDE, SIDE]}
# Photographs that a process is handed at once.
CHUNK = 8
_AS_LONG_AS_IT_LIVES = ExitStack()

Road = Callable[[Path], Loaded]
Crops = Sequence[Loaded | None]


@cache
def maker() -> ViewMaker:
    """What crops a photograph, as in an extraction without augmented views."""
    return ViewMaker(plain_crop(CROP), CROP, 0)


def as_it_is(path: Path) -> Loaded:
    """The crop as an extraction has it, every check of the image included."""
    return maker().load(path)


def with_draft(path: Path) -> Loaded:
    """Decoded by libjpeg-turbo at the least scale that has the pixels of the crop."""
    image = Image.open(io.BytesIO(path.read_bytes()))
    image.draft("RGB", (SIDE, SIDE))
    return maker().made(image.convert("RGB"), "", (0,))


def by_torchvision(path: Path) -> Loaded:
    """Decoded by torchvision, cropped by Pillow; no check of the image at all."""
    return maker().made(Image.fromarray(torchvision_pixels(path.read_bytes())), "", (0,))


def torchvision_pixels(data: bytes) -> Any:
    """The pixels (H, W, 3) uint8 of a JPEG."""
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg

    return decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8), mode=ImageReadMode.RGB).permute(1, 2, 0).numpy()


@contextmanager
def threads(count: int, road: Road) -> Iterator[Callable[[list[Path]], Crops]]:
    """What loads by threads."""
    yield lambda paths: list(in_time(road, paths, count, AHEAD))


@contextmanager
def processes(count: int, road: Road) -> Iterator[Callable[[list[Path]], Crops]]:
    """What loads by processes, which have started and imported what they need."""
    with ProcessPoolExecutor(count, get_context("spawn"), _begin) as pool:
        list(pool.map(time.sleep, [0.1] * count))
        yield lambda paths: list(pool.map(road, paths, chunksize=CHUNK))


def _begin() -> None:
    _AS_LONG_AS_IT_LIVES.enter_context(kept_memory("cpu"))
    maker()


ROADS: dict[str, Callable[[], Any]] = {
    "1 thread, as it is": partial(threads, 1, as_it_is),
    "2 threads, as it is": partial(threads, 2, as_it_is),
    "4 threads, as it is": partial(threads, 4, as_it_is),
    "2 processes, as it is": partial(processes, 2, as_it_is),
    "2 threads, `draft`": partial(threads, 2, with_draft),
    "2 threads, decoder of torchvision, no checks": partial(threads, 2, by_torchvision),
}


def table(paths: list[Path]) -> list[str]:
    """Photographs a second on each road, the seconds until it could begin, and how many crops have the pixels of the first."""
    lines = ["| loaded and cropped by | images/s | start s | same pixels |", "|---|---|---|---|"]
    first: Crops = []
    # An extraction has imported torch anyway.
    by_torchvision(paths[0])
    for name, road in ROADS.items():
        asked = time.perf_counter()
        with road() as load:
            load(paths[:CHUNK])
            start = time.perf_counter() - asked
            rates, found = [], first
            for _ in range(TRIES):
                started = time.perf_counter()
                found = load(paths)
                rates.append(len(paths) / (time.perf_counter() - started))
        first = first or found
        same = sum(isinstance(one, np.ndarray) and np.array_equal(one, np.asarray(other)) for one, other in zip(first, found, strict=True))
        lines.append(f"| {name} | {max(rates):.0f} | {start:.1f} | {same} of {len(paths)} |")
    return lines


def steps(files: list[bytes]) -> str:
    """Milliseconds a photograph of decoding by Pillow and by torchvision, and of cropping, on one thread."""
    images = [image for image in map(decode_image, files) if isinstance(image, Image.Image)]
    crop = plain_crop(CROP)
    timed: dict[str, Callable[[], Any]] = {
        "decoded by Pillow": lambda: [decode_image(data) for data in files],
        "by torchvision": lambda: [torchvision_pixels(data) for data in files],
        f"cropped to {SIDE} pixels": lambda: [crop(image) for image in images],
    }
    least = least_seconds(timed, TRIES)
    same = sum(np.array_equal(np.asarray(image), torchvision_pixels(data)) for image, data in zip(images, files, strict=True))
    told = ", ".join(f"{name} in {1000 * seconds / len(files):.2f} ms" for name, seconds in least.items())
    return f"A photograph is {told}; both decoders give the same pixels for {same} of {len(files)}."


def main(photos: Path) -> None:
    """Measure and print."""
    paths = sorted(photos.rglob("*.jpg"))
    with kept_memory("cpu"):
        print("\n".join([*table(paths), "", steps([path.read_bytes() for path in paths])]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
