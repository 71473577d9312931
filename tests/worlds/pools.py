"""The same images without labels in every form that a pool has, called by the same ids where the form allows it."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tests.worlds.tars import write_tar

# The images of a folder, by their names in it.
Images = Mapping[str, bytes]
TARS = 3


def made_images(count: int, size: int = 32) -> Images:
    """Small JPEGs under the names that they have in tars; one is no image, and one is there twice."""
    draw = np.random.default_rng(3)
    colours = draw.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    files = [_jpeg(Image.fromarray(colour).resize((size, size))) for colour in colours]
    files[count // 2], files[-1] = b"no image", files[0]
    return {_name(number, count): data for number, data in enumerate(files)}


def photographed(photos: Path, count: int, size: int = 48) -> Images:
    """As many small crops of the photographs below a folder."""
    opened = [Image.open(path).convert("RGB") for path in sorted(photos.rglob("*.jpg"))]
    draw = np.random.default_rng(4)
    return {_name(number, count): _crop(opened[number % len(opened)], draw, size) for number in range(count)}


def _crop(photo: Image.Image, draw: np.random.Generator, size: int) -> bytes:
    left, top = (int(draw.integers(0, length - 128)) for length in photo.size)
    return _jpeg(photo.crop((left, top, left + 128, top + 128)).resize((size, size)))


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def _name(number: int, count: int) -> str:
    return f"{'abc'[number * TARS // count]}.tar/{number:06d}.jpg"


def write_forms(folder: Path, images: Images) -> Mapping[str, str]:
    """Folder, tars, Parquet and table, each as `--data` takes it."""
    for name, data in images.items():
        path = folder / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    # Beside the images, so that these are called alike.
    (folder / "folder/pool.csv").write_text("\n".join(["path", *images]))
    (folder / "cells").mkdir()
    for tar in sorted({name.partition("/")[0] for name in images}):
        members = [(inside, data) for inside, data in _inside(images, tar)]
        write_tar(folder / "tars" / tar, members)
        cells = pa.array([data for _, data in members], pa.binary())
        table = pa.table({"image": cells, "caption": [f"of {inside}" for inside, _ in members]})
        pq.write_table(table, folder / "cells" / f"{Path(tar).stem}.parquet", row_group_size=500)
    forms = {"folder": "folder", "tars": "tars", "Parquet": "cells", "table": "folder/pool.csv"}
    return {form: str(folder / place) for form, place in forms.items()}


def _inside(images: Images, tar: str) -> Iterator[tuple[str, bytes]]:
    return ((name.removeprefix(f"{tar}/"), data) for name, data in images.items() if name.startswith(f"{tar}/"))
